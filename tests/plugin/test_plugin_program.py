"""The plugin's way to the command, without QGIS: a program of the test's stands in for geolulc."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from geolulc_plugin import environment, program

#: Writes a script that runs with this Python, whatever its environment.
Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def script(body: str) -> str:
        path = tmp_path / "geolulc"
        path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{body}\n")
        path.chmod(0o755)
        return str(path)

    return script


def test_progress_lines_and_cautions_go_their_ways(write: Write) -> None:
    command = write(
        "print(json.dumps({'done': 1, 'total': 2}), file=sys.stderr)\n"
        "print('geolulc: caution: few patches', file=sys.stderr)\n"
        "print('{no json', file=sys.stderr)\n"
        "print('[]')"
    )
    steps: list[dict] = []
    lines: list[str] = []
    out = program.run([command], on_progress=steps.append, on_line=lines.append)
    assert out == "[]\n"
    assert steps == [{"done": 1, "total": 2}]
    assert lines == ["geolulc: caution: few patches", "{no json"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("print('geolulc: a.SAFE: found b; expected c. d.', file=sys.stderr); sys.exit(1)",
         "a.SAFE: found b; expected c. d."),
        ("print('Usage: geolulc\\n\\nError: No such option: --x', file=sys.stderr); sys.exit(2)",
         "No such option: --x"),
        ("os.kill(os.getpid(), 9)", "for lack of memory"),
        ("sys.exit(137)", "for lack of memory"),
        ("raise TypeError('bug')", "exit code 1. Please report it"),
        ("sys.exit(1)", "exit code 1. Please report it"),
    ],
)  # fmt: skip
def test_failures_are_the_commands_own_words(write: Write, body: str, said: str) -> None:
    with pytest.raises(program.Failed) as caught:
        program.run([write(body)])
    assert said in str(caught.value)


def test_several_failures_are_a_line_each(write: Write) -> None:
    lines = ["geolulc: a: found x", "geolulc: b: found y", "geolulc: 2 of 2 scenes failed"]
    body = f"print({chr(10).join(lines)!r}, file=sys.stderr); print('[1]'); sys.exit(1)"
    with pytest.raises(program.Failed) as caught:
        program.run([write(body)])
    assert str(caught.value) == "a: found x\nb: found y\n2 of 2 scenes failed"
    assert caught.value.out == "[1]\n"


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(program.Failed, match="cannot be started"):
        program.run([str(tmp_path / "geolulc")])


def test_stopping_lets_the_command_tidy_up(write: Write, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    command = write(
        f"from pathlib import Path\nbegun = Path({str(begun)!r})\n"
        "import signal\n"
        "def stop(*_):\n    begun.unlink()\n    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "begun.touch()\nprint('{\"done\": 0}', file=sys.stderr, flush=True)\n"
        "while True: signal.pause()"
    )
    started = threading.Event()
    with pytest.raises(program.Stopped):
        program.run([command], on_progress=lambda _: started.set(), is_stopped=started.is_set)
    assert not begun.exists()


def test_a_command_that_does_not_stop_is_ended(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "PATIENCE", 0.2)
    command = write(
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('{\"done\": 0}', file=sys.stderr, flush=True)\nwhile True: signal.pause()"
    )
    started = threading.Event()
    with pytest.raises(program.Stopped):
        program.run([command], on_progress=lambda _: started.set(), is_stopped=started.is_set)


def test_nothing_of_qgis_reaches_the_command(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in program.FOREIGN[:4]:
        monkeypatch.setenv(name, "/qgis")
    seen = json.loads(program.run([write("print(json.dumps(dict(os.environ)))")]))
    assert not set(program.FOREIGN) & set(seen)
    assert seen["PATH"] == os.environ["PATH"]
    assert seen["PYTHONUTF8"] == "1"


def test_much_output_on_both_streams_does_not_block(write: Write) -> None:
    lines: list[str] = []
    body = "for i in range(20000): print('x' * 99); print('y' * 99, file=sys.stderr)"
    assert len(program.run([write(body)], on_line=lines.append)) == 100 * 20000
    assert len(lines) == 20000


def test_the_command_is_found_in_the_plugins_environment_first(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GEOLULC_PROGRAM", raising=False)
    of_path = write("")
    monkeypatch.setenv("PATH", str(tmp_path))
    own = tmp_path / "environment"
    assert program.find_program("", own) == of_path
    made = program.program_in(own)
    made.parent.mkdir(parents=True)
    made.touch(mode=0o755)
    assert program.find_program("", own) == str(made)
    assert program.find_program(of_path, own) == of_path
    assert program.find_program("/no/such", own) is None
    monkeypatch.setenv("GEOLULC_PROGRAM", of_path)
    assert program.find_program("/no/such", own) == of_path


def test_models_are_asked_for_once(write: Write, tmp_path: Path) -> None:
    counted = tmp_path / "counted"
    command = write(
        f"open({str(counted)!r}, 'a').write('x')\n"
        "print(json.dumps([{'name': 'm', 'task': 'patch'}]))"
    )
    cache = tmp_path / "profile" / "models.json"
    for _ in range(2):
        assert environment.list_models(command, cache) == [{"name": "m", "task": "patch"}]
    assert counted.read_text() == "x"
    os.utime(command, (1, 1))
    environment.list_models(command, cache)
    assert counted.read_text() == "xx"
    cache.write_text("{")
    assert environment.list_models(command, cache)


def test_a_broken_command_has_no_models(write: Write, tmp_path: Path) -> None:
    assert environment.list_models(write("sys.exit(1)"), tmp_path / "models.json") == []
    assert not (tmp_path / "models.json").exists()


def make_wheel(folder: Path, *, version: str, command: bool = True) -> Path:
    """A wheel without dependencies, whose command geolulc says its version."""
    path = folder / f"tiny-{version}-py3-none-any.whl"
    info = f"tiny-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny.py", f"def main():\n    print({version!r})\n")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        if command:
            wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\ngeolulc = tiny:main\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def test_a_command_that_does_not_answer_keeps_nobody(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "_PATIENCE", 0.0)
    command = write("import signal\nwhile True: signal.pause()")
    assert environment.list_models(command, tmp_path / "models.json") == []


def test_an_environment_is_made_and_updated(tmp_path: Path) -> None:
    own = tmp_path / "environment"
    steps: list[tuple[int, int]] = []

    def make(package: str) -> str:
        return environment.make(
            own, package, ["--no-index"], sys.executable, on_line=lambda _: None,
            on_step=lambda *step: steps.append(step), is_stopped=lambda: False,
        )  # fmt: skip

    with pytest.raises(program.Failed, match="No matching distribution found for no-such"):
        make("no-such-package")
    assert steps == [(0, 2), (1, 2)]
    assert program.find_program("/no/such", own) is None
    with pytest.raises(program.Failed, match="found no command geolulc in it"):
        make(str(make_wheel(tmp_path, version="0", command=False)))
    for version in ("1", "2"):
        made = make(str(make_wheel(tmp_path, version=version)))
        assert program.run([made]) == f"{version}\n"


def test_a_python_that_is_too_old_is_told(write: Write) -> None:
    with pytest.raises(program.Failed, match=r"found no Python 3\.11 or newer"):
        environment.find_python(write("print('3 9')"))
    assert environment.find_python(sys.executable) == sys.executable
    assert environment.find_python("")


def test_the_plugin_loads_with_qt6() -> None:
    pytest.importorskip("PyQt6.QtWidgets", reason="no PyQt6 here", exc_type=ImportError)
    script = Path(__file__).with_name("plugin_with_qt6.py")
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )
    assert done.returncode == 0, done.stderr
    assert "mapcells" in done.stdout
