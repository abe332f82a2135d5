"""Progress as lines of JSON, exit codes, and ``geolulc doctor``: what programs rely on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from made_archives import make_store
from written_map import write_made

from geolulc import diagnosis
from geolulc.cli import COMMANDS, cli
from geolulc.progress import ProgressLines


def told(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_lines_have_the_first_and_the_last_state_and_few_between() -> None:
    times = iter([10.0, 10.1, 10.6, 10.7, 12.0])
    written: list[str] = []
    lines = ProgressLines("a", "cells", written.append, every=0.5, clock=lambda: next(times))
    for done in (2, 3, 5, 6, 8):
        lines(done, 8)
    lines.close()
    found = [json.loads(line) for line in written]
    assert [line["done"] for line in found] == [2, 5, 8]
    assert [line["rate"] for line in found] == [None, 5.0, 3.0]
    assert found[0] == {"stage": "a", "unit": "cells", "done": 2, "total": 8, "rate": None}


def test_a_stopped_piece_of_work_tells_its_last_state() -> None:
    written: list[str] = []
    lines = ProgressLines("a", "cells", written.append, every=1e9)
    for done in (1, 2, 3):
        lines(done, 8)
    lines.close()
    lines.close()
    assert [json.loads(line)["done"] for line in written] == [1, 3]


@pytest.mark.parametrize("name", COMMANDS)
def test_who_can_be_quiet_can_speak_json(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    options = {option for parameter in command.params for option in parameter.opts}
    assert ("--quiet" in options) == ("--progress" in options)


def test_progress_and_result_of_a_command_are_json(tmp_path: Path) -> None:
    path = write_made("pixels", tmp_path / "map.tif").path
    arguments = ["compare", str(path), str(path), "--out", str(tmp_path / "change.tif")]
    result = CliRunner().invoke(cli, [*arguments, "--progress", "json", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["agreement"] == 1
    last = told(result.stderr)[-1]
    assert last["stage"] == "Maps"
    assert last["done"] == last["total"] > 0


def test_a_training_tells_its_steps(tmp_path: Path) -> None:
    store = make_store(tmp_path / "made.store", 40)
    result = CliRunner().invoke(
        cli,
        ["train", str(store), str(tmp_path / "run"), "--backbone", "test_resnet", "--epochs", "2",
         "--batch-size", "8", "--device", "cpu", "--progress", "json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    last = told(result.stderr)[-1]
    assert (last["stage"], last["unit"]) == ("train", "steps")
    assert last["done"] == last["total"] > 0
    assert "epoch 2  loss" in result.stderr
    assert "train:" not in result.stderr  # no bar


def test_a_training_and_what_describes_it_are_json(tmp_path: Path) -> None:
    store, run = make_store(tmp_path / "made.store", 40), tmp_path / "run"
    settings = ["--backbone", "test_resnet", "--epochs", "1", "--device", "cpu", "-q", "--json"]
    result = CliRunner().invoke(cli, ["train", str(store), str(run), *settings])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told == json.loads((run / "summary.json").read_text())
    assert told["epoch"] == told["epochs"] == 1
    item = tmp_path / "model.json"
    result = CliRunner().invoke(cli, ["stac", str(run), "--out", str(item), "--json"])
    assert json.loads(result.stdout) == {"files": {"item": str(item)}}
    curve = tmp_path / "curve"
    result = CliRunner().invoke(cli, ["train", str(store), str(curve), "--find-lr", *settings])
    told = json.loads(result.stdout)
    assert len(told["rates"]) == len(told["losses"]) > 1
    assert min(told["rates"]) <= told["suggestion"] <= max(told["rates"])
    assert told["files"] == {
        n: str(curve / f"rates.{e}") for n, e in (("table", "csv"), ("picture", "png"))
    }


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_a_stopped_command_leaves_nothing(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    path = write_made("cells", tmp_path / "map.tif", stride=600).path
    out = tmp_path / "out"
    out.mkdir()
    script = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from geolulc.analysis.compare import Transitions\n"
        f"Transitions.bands = lambda *_: os.kill(os.getpid(), {int(number)})\n"
        "from geolulc.cli import main\n"
        "main()\n"
    )
    arguments = ["compare", str(path), str(path), "--out", str(out / "change.tif"), "-q"]
    stopped = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert stopped.returncode == code, stopped.stderr
    assert stopped.stderr == "geolulc: stopped\n"
    assert list(out.iterdir()) == []


def test_doctor_finds_this_installation_well() -> None:
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    found = json.loads(result.stdout)
    assert found["problems"] == []
    assert result.exit_code == 0
    assert found["packages"]["rasterio"]
    assert found["gdal"]["drivers"]["JP2OpenJPEG"] is True
    assert found["devices"]["cores"] > 0
    assert "bigearthnet-few-patches" in found["models"]
    assert "no problems found" in CliRunner().invoke(cli, ["doctor"]).stdout


def test_doctor_names_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "models" / "broken.safetensors"
    broken.parent.mkdir()
    broken.write_bytes(b"no model")
    (tmp_path / "geolulc").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "geolulc" / "dynamicworld.safetensors").write_bytes(b"half a download")
    required = ["rasterio>=999", "no-such-package>=1", "not a requirement", 'x; extra == "hub"']
    monkeypatch.setattr(diagnosis.metadata, "requires", lambda _: required)
    monkeypatch.setattr(diagnosis, "_DRIVERS", {"NoSuchDriver": "reads nothing"})
    monkeypatch.setattr(diagnosis, "_LEAST_MEMORY", 1e9)
    monkeypatch.setattr(diagnosis, "_LEAST_SPACE", 1e9)
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    assert result.exit_code == 1
    problems = "\n".join(json.loads(result.stdout)["problems"])
    for part in (
        "is not >=999: pip install -U rasterio",
        "no-such-package is not installed: pip install 'no-such-package>=1'",
        "no driver NoSuchDriver, which reads nothing",
        "a whole tile may not fit",
        "GB are free for the temporary folder",
        "model dynamicworld: ",
    ):
        assert part in problems


def test_doctor_goes_on_where_a_library_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise OSError(f"lib{name}.so: cannot open shared object file")

    monkeypatch.setattr(diagnosis.importlib, "import_module", fail)
    found = diagnosis.diagnose()
    assert found["gdal"] is found["devices"] is None
    assert found["packages"]
    assert "devices: OSError: libtorch.so: cannot open shared object file" in found["problems"]
