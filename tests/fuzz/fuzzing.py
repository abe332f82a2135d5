"""Damage inputs of geolulc by seed and run its commands on them, each case in a child process.

A case is a kind of input and a seed, and the same again with the same pair. Cases that fail are
kept in a folder: the damaged input, how it was made, and what was said. Exits with 1 if any fails.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import importlib
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a parent's threads do not survive a fork
_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS), str(_TESTS.parent / "examples"), str(_TESTS.parent)]

from bench import Bench  # noqa: E402
from execution import FINE, Limits, Outcome, in_child  # noqa: E402
from kinds import KINDS  # noqa: E402

from geolulc.cli import COMMANDS  # noqa: E402

#: What the commands load when they need it; a child has it from its parent.
_LOADED = ("mapping", "learning", "mosaics", "transfer", "analysis", "outputs", "datasets")


def main() -> None:
    options = _parse()
    _load()
    names = options.kind or list(KINDS)
    end = time.monotonic() + options.seconds
    counts: dict[str, collections.Counter[str]] = {n: collections.Counter() for n in names}
    failed = 0
    with tempfile.TemporaryDirectory(prefix="geolulc-fuzz-") as folder:
        benches = [_prepared(name, Path(folder), options.limits) for name in names]
        for seed, bench in _cases(benches, options.seed, options.cases):
            if time.monotonic() > end:
                break
            outcome = in_child(
                functools.partial(bench.attempt, seed), Path(folder) / "child", options.limits
            )
            counts[bench.name][outcome.name] += 1
            if options.all or not outcome.passes:
                print(f"{bench.name} {seed}: {outcome.name}: {outcome.said[:300]}", flush=True)
            if not outcome.passes:
                failed += 1
                _keep(bench, Path(folder) / "child", options.keep / f"{bench.name}-{seed}")
    for name, count in counts.items():
        print(f"{name:14}", ", ".join(f"{n} {kind}" for kind, n in sorted(count.items())))
    sys.exit(failed > 0)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", action="append", choices=KINDS, help="one kind [all in turn]")
    parser.add_argument("--seed", type=int, default=0, help="the first [0]")
    parser.add_argument("--cases", type=int, help="of each kind [until the time is over]")
    parser.add_argument("--seconds", type=float, default=600, help="of the whole run [600]")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="their folder")
    parser.add_argument("--all", action="store_true", help="print what passes, too")
    parser.add_argument(
        "--limit", type=float, nargs=2, default=(60, 1.5), metavar=("S", "GB"), help="of a case"
    )
    options = parser.parse_args()
    options.limits = Limits(options.limit[0], int(options.limit[1] * 1e9))
    return options


def _load() -> None:
    for name in COMMANDS:
        importlib.import_module(f"geolulc.cli.{name.replace('-', '_')}")
    for name in _LOADED:
        room = importlib.import_module(f"geolulc.{name}")
        for public in getattr(room, "__all__", ()):
            getattr(room, public)


def _prepared(name: str, folder: Path, limits: Limits) -> Bench:
    bench = Bench(name, folder / name)

    def work() -> Outcome:
        bench.make()
        for command in bench.kind.commands:
            bench.sound(command)
        return Outcome(FINE)

    outcome = in_child(work, folder / "child", limits)
    if not outcome.passes:
        sys.exit(f"{name}, undamaged: {outcome}\n{(folder / 'child/said.txt').read_text()}")
    return bench


def _cases(benches: list[Bench], first: int, count: int | None) -> Iterator[tuple[int, Bench]]:
    seeds = itertools.count(first) if count is None else range(first, first + count)
    return ((seed, bench) for seed in seeds for bench in benches)


def _keep(bench: Bench, child: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    with contextlib.suppress(shutil.Error):
        shutil.copytree(bench.case, target)
    for path in child.glob("*"):
        shutil.copy(path, target)


if __name__ == "__main__":
    main()
