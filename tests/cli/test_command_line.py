"""The command line as a user meets it: help is light, wrong usage is 2, bad input is 1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from in_process import geolulc
from made_map import made_map, save_map

import geolulc.cli as cli_room
from geolulc.cli import COMMANDS, cli
from geolulc.cli.info import lines
from geolulc.cli.results import print_cautions, print_result
from geolulc.errors import ParameterError
from geolulc.outputs.cautions import Caution

HEAVY = {"torch", "rasterio", "numpy", "timm", "geopandas", "matplotlib", "pandas"}


@pytest.mark.parametrize("arguments", [["--help"], ["map", "--help"], ["train", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom geolulc.cli import cli\n"
        f"try: cli({arguments!r})\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stderr.strip() == "[]"
    assert "Usage:" in result.stdout


def test_importing_geolulc_imports_nothing_heavy() -> None:
    script = f"import sys, geolulc; print(sorted({HEAVY!r} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_listed_and_helps(name: str) -> None:
    runner = CliRunner()
    assert f"  {name} " in runner.invoke(cli, ["--help"]).output
    result = runner.invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert "--help" in result.output


@pytest.mark.parametrize(
    "arguments",
    [["no-such-command"], ["map", "--no-such-option"], ["info"], ["prepare"], ["info", "a", "b"]],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    result = geolulc(*arguments)
    assert result.returncode == 2
    assert "Usage:" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda p: None, "nothing there"),
        (lambda p: p.mkdir(), "a folder"),
        (lambda p: p.write_text("x"), "a file of another kind"),
    ],
)
def test_info_on_something_else_is_one_line_and_1(make, found: str, tmp_path: Path) -> None:
    path = tmp_path / "thing"
    make(path)
    result = geolulc("info", str(path))
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert f"{path}: found {found}; expected a store" in result.stderr


def test_version() -> None:
    from geolulc import __version__

    assert geolulc("--version").stdout.strip() == f"geolulc, version {__version__}"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_any_terminal_shows_help_and_names(encoding: str, tmp_path: Path) -> None:
    missing = tmp_path / "Ort → Übersee.SAFE"
    for arguments in (["--help"], ["info", str(missing)]):
        result = subprocess.run(
            [sys.executable, "-m", "geolulc", *arguments],
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONIOENCODING": encoding},
        )
        said = (result.stdout + result.stderr).decode("utf-8", "replace")
        assert "Traceback" not in said
        assert said.count("\n") == 1 or "export           Write" in said


def test_no_result_gives_the_terminal_commands(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = {"name": "a\x1b[31m\u202eb", "of": [{"x\n\x9b": "c\nd"}]}
    print_result(hostile, "\n".join(lines(hostile)), as_json=False)
    assert capsys.readouterr().out == "  name: a [31m b\n  of:\n    - x: c d\n"
    print_result(hostile, "", as_json=True)
    printed = capsys.readouterr().out
    assert json.loads(printed) == hostile
    assert not set(printed) & set("\x1b\x9b\u202e")
    print_result([], "", as_json=False)
    assert not capsys.readouterr().out
    print_cautions([[Caution("clouds", "a\x1b[31m\u202eb\nc")]])
    assert capsys.readouterr().err == "geolulc: caution: a [31m b c\n"


def test_commands_print_in_one_place() -> None:
    """It knows what is safe to print: no other module of the room has click print."""
    folder = Path(cli_room.__file__).parent
    assert [p.name for p in folder.glob("*.py") if "click.echo" in p.read_text()] == ["results.py"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("k" * 300, "found File name too long"),
        ("caf\udce9.tif", "caf\ufffd.tif: found bytes in its name that are no UTF-8"),
        ("loop", "found Too many levels of symbolic links"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        "info {}",
        "map {} --out m.tif",
        "map a --aoi {} --out m.tif",
        "export {} --onnx m.onnx",
        "mosaic a --out {}",
    ],
)
def test_paths_that_no_system_takes(
    path: str, found: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    arguments = [path if part == "{}" else part for part in command.split()]
    result = CliRunner().invoke(cli, arguments)
    assert isinstance(result.exception, ParameterError)
    assert found in str(result.exception)


def test_a_number_of_5000_digits_is_one_short_line() -> None:
    result = geolulc("map", "a.SAFE", "--out", "b.tif", "--stride", "9" * 5000)
    assert result.returncode == 2
    assert "Invalid value for '--stride': '999" in result.stderr
    assert max(map(len, result.stderr.splitlines())) < 600


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The map.tif of a made map, with its polygons and classes beside it."""
    folder = tmp_path_factory.mktemp("made")
    save_map(made_map(), folder / "map.tif", "probabilities", "classes", "vectors")
    return folder / "map.tif"


@pytest.mark.parametrize("place", [".", "/", ".."])
@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "map.tif", "map.tif", "--out"],
        ["mosaic", "map.tif", "--out"],
        ["sample", "map_classes.tif", "--out"],
        ["assess", "map_classes.tif", "--reference", "map.gpkg", "--out"],
        ["summarize", "map.tif", "--zones", "map.gpkg", "--layer", "classes", "--out"],
        ["stac", "map.tif", "--out"],
        ["classes", "ben19", "--out"],
        ["export", "bigearthnet-few-patches", "--onnx"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_folder_that_is_there_is_no_new_file(
    arguments: list[str], place: str, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder one is in has no name that a file could be written beside."""
    monkeypatch.chdir(made.parent)
    before = sorted(path.name for path in made.parent.iterdir())
    done = geolulc(*arguments, place)
    assert done.returncode == 1, done.stderr
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("geolulc: ")]
    assert "expected" in line
    assert sorted(path.name for path in made.parent.iterdir()) == before
