"""A full disk while a model is trained, evaluated or exported: one line, nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

#: Runs commands in children whose files may have so many bytes; prints code, stderr, and files.
SCRIPT = """
import io, json, os, resource, signal, sys
from pathlib import Path
import torch, geopandas, matplotlib.pyplot, onnx, pyogrio
from geolulc.cli import main
import geolulc.learning.footprints, geolulc.learning.report, geolulc.learning.training
import geolulc.nets.onnx_export

torch.set_num_threads(1)
for limit, arguments in json.loads(sys.argv[1]):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.argv, sys.stderr, code = ["geolulc", *arguments], io.StringIO(), 99
    try:
        main()
    except SystemExit as done:
        code = done.code
    except BaseException as error:
        sys.stderr.write(repr(error))
    os.write(1, json.dumps([code, sys.stderr.getvalue()]).encode() + b"\\n")
    os._exit(0)
"""
QUICK = ["--backbone", "test_resnet", "--batch-size", "8", "--device", "cpu", "--epochs", "1", "-q"]


def fill(*runs: tuple[int, list[object]]) -> list[tuple[int, str]]:
    """(exit code, stderr) of commands whose files may have so many bytes."""
    given = json.dumps([(limit, [str(a) for a in arguments]) for limit, arguments in runs])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, given],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines() if line[:1] == "["]


def test_one_line_and_nothing_half_written(made: Path, tmp_path: Path) -> None:
    """Of a run's marker, settings, checkpoint and state; of what is made of a model."""
    run, out = tmp_path / "run", tmp_path / "out"
    out.mkdir()
    evaluate = ["evaluate", run, made, "--device", "cpu", "-q"]
    training = [(n, ["train", made, tmp_path / str(n), *QUICK]) for n in (0, 100, 100_000)]
    others = [
        *((n, [*evaluate, "--predictions", out / f"{n}.gpkg"]) for n in (0, 60_000)),
        (60_000, [*evaluate, "--report", out / "report"]),
        (100_000, ["export", run, "--onnx", out / "model.onnx"]),
    ]
    first, *found = fill((10**9, ["train", made, run, *QUICK]), *training, *others)
    assert first == (0, "")
    for (_, arguments), (code, stderr) in zip([*training, *others], found, strict=True):
        target = arguments[2] if arguments[0] == "train" else arguments[-1]
        assert code == 1, (arguments, stderr)
        assert stderr.startswith(f"geolulc: {target}")
        assert "Free some space" in stderr
        assert stderr.count("\n") == 1
    for limit, (_, stopped) in zip((0, 100, 100_000), training, strict=True):
        run = Path(str(stopped[2]))
        left = {path.name for path in run.iterdir()} if run.is_dir() else set()
        assert left == ({".geolulc.json", "config.toml"} if limit > 100 else set())
    assert list(out.iterdir()) == []
