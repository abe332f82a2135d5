"""Damaged inputs of every kind are used or refused in one clear line; ``make fuzz`` has more."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from bench import Bench
from execution import CLEAR, FINE, HANG, MEMORY, TRACEBACK, WRONG, run_command
from kinds import KINDS

SEEDS = range(3)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_inputs(kind: str, tmp_path: Path) -> None:
    bench = Bench(kind, tmp_path)
    bench.make()
    outcomes = {seed: bench.attempt(seed) for seed in SEEDS}
    assert not {seed: outcome for seed, outcome in outcomes.items() if not outcome.passes}


def test_a_case_is_the_same_again(tmp_path: Path) -> None:
    files = []
    for _ in range(2):
        bench = Bench("store", tmp_path / str(len(files)))
        bench.make()
        bench.attempt(5)
        files.append({p.name: p.read_bytes() for p in bench.case.rglob("*") if p.is_file()})
    assert files[0] == files[1]


def test_a_success_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without checksums, damaged pixels are mapped: the driver notices, by the values."""
    kind = KINDS["manifest"]
    changed = dataclasses.replace(
        kind,
        commands=(f"{kind.commands[0]} --no-verify",),
        damaged={"scene.SAFE/**/*_B02*.jp2": (spoil_end,)},
    )
    monkeypatch.setitem(KINDS, "manifest", changed)  # type: ignore[arg-type]
    bench = Bench("manifest", tmp_path)
    bench.make()
    assert bench.attempt(0).name == WRONG


def spoil_end(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-3000] + rng.randbytes(100) + data[-2900:])


def test_outcomes_of_commands(tmp_path: Path) -> None:
    assert run_command(["--version"], tmp_path).name == FINE
    assert run_command(["info", "nothing"], tmp_path).name == CLEAR
    assert run_command(["map"], tmp_path).name == CLEAR


#: What a child may do, as Python, and what is said of it.
CHILDREN = {
    "return Outcome('fine')": "fine",
    "signal.pause()": HANG,
    "return Outcome('fine', str(len(bytes(300_000_000).replace(b'\\0', b'x'))))": MEMORY,
    "os.abort()": TRACEBACK,
    "raise ValueError": TRACEBACK,
    "os.kill(os.getpid(), signal.SIGSEGV)": TRACEBACK,
}


@pytest.mark.parametrize("work", CHILDREN)
def test_outcomes_of_children(work: str, tmp_path: Path) -> None:
    script = (
        "import json, os, pathlib, signal\n"
        "from execution import Limits, Outcome, in_child\n"
        f"def work():\n    {work}\n"
        f"limits = Limits(seconds={1 if 'pause' in work else 60}, memory=200_000_000)\n"
        "print(json.dumps(in_child(work, pathlib.Path('child'), limits).name))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": ":".join(sys.path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout) == CHILDREN[work]
