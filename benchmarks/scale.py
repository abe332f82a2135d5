"""Scenes through Dask: 1 and 2 workers against one process, and what the cluster itself costs.

    python benchmarks/scale.py [--scenes FOLDER] [--tasks 10000] [--json FILE]

Maps the products in FOLDER (made where there are none, by ``tools/make_safe.py`` of
``GEOLULC_SHARED``) with the shipped model: in one process, on one worker and on two, one thread
each. Workers are warm: their imports are not counted. Then as many tasks
that do nothing go through the same path as scenes do, ledger and all: their time is what Dask and
we add to a scene. Prints ratios of this run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from geolulc.cluster.connection import local_cluster
from geolulc.cluster.engine import run_items
from geolulc.cluster.model_files import ModelFile
from geolulc.cluster.scenes import map_scenes_on
from geolulc.cluster.worker import Attempt
from geolulc.mapping import MapOptions, map_scenes
from geolulc.nets import load_checkpoint, shipped_model
from geolulc.outputs.options import OutputOptions

SHARED = Path(os.environ.get("GEOLULC_SHARED", Path(__file__).parents[1] / ".." / "shared"))
OUTPUT = OutputOptions(("probabilities", "classes"))
#: Side of a made tile in pixels, and of a whole one.
SIZE, WHOLE = 2196, 10980


@dataclass(frozen=True)
class Nothing:
    """Work that takes no time; ``warm``: but loads what mapping needs."""

    warm: bool = False

    def prepare(self, threads: int) -> Callable[[int, Attempt], int]:
        """Import."""
        if self.warm:
            import geolulc.cluster.scenes  # noqa: F401
        return self._do

    def _do(self, item: int, attempt: Attempt) -> int:
        if self.warm:
            time.sleep(0.5)  # so that each worker gets some
        return item


def make_scenes(folder: Path, count: int) -> None:
    """Synthetic products, each of another tile."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        subprocess.run(
            [
                *(sys.executable, str(SHARED / "tools" / "make_safe.py"), str(folder)),
                *("--size", str(SIZE), "--native-only", "--seed", str(number)),
                *("--tile", f"32T{'PQRSTUVW'[number]}S"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.scenes or Path(temporary) / "scenes"
        if not list(folder.glob("*.SAFE")):
            make_scenes(folder, given.count)
        scenes = sorted(folder.glob("*.SAFE"))[: given.count]
        rates, overhead = measure(scenes, Path(temporary), given.tasks)
    one = rates["one process"]
    print(f"{len(scenes)} scenes; scenes an hour, and against twice those of one process")
    for name, rate in rates.items():
        print(f"  {name:24} {3600 * rate:8.1f}   {rate / (2 * one):6.3f}")
    whole = (WHOLE / SIZE) ** 2 / one
    print(f"{given.tasks:,} tasks that do nothing: {1000 * overhead:.2f} ms each,")
    print(f"  {overhead * one:.3%} of one of these scenes, {overhead / whole:.4%} of a whole tile")
    if given.json:
        given.json.write_text(json.dumps({"scenes_a_second": rates, "overhead_s": overhead}))


def measure(scenes: list[Path], folder: Path, tasks: int) -> tuple[dict[str, float], float]:
    """Scenes a second by way, and seconds a task."""
    model, rates, overhead = shipped_model(), {}, 0.0
    models = [load_checkpoint(model)]
    options = MapOptions(threads=1, device="cpu")
    began = time.perf_counter()
    results = map_scenes(scenes, folder / "alone", models, options, output=OUTPUT)
    rates["one process"] = len(scenes) / (time.perf_counter() - began)
    assert all(result.error is None for result in results)
    print({name: f"{1 / rate:.1f} s a scene" for name, rate in rates.items()}, flush=True)
    for workers in (1, 2):
        with local_cluster(workers) as client:
            list(run_items(client, Nothing(warm=True), range(8)))
            began = time.perf_counter()
            results = map_scenes_on(
                client, scenes, folder / f"on{workers}", [ModelFile.of(model)], options,
                output=OUTPUT,
            )  # fmt: skip
            rates[f"{workers} worker{'s' * (workers > 1)}"] = len(scenes) / (
                time.perf_counter() - began
            )
            assert all(result.error is None for result in results)
            print({name: f"{1 / rate:.1f} s a scene" for name, rate in rates.items()}, flush=True)
            if workers == 2:
                began = time.perf_counter()
                done = sum(answer.result is not None for _, answer in run_items(
                    client, Nothing(), range(tasks)
                ))  # fmt: skip
                assert done == tasks
                overhead = (time.perf_counter() - began) / tasks
    return rates, overhead


if __name__ == "__main__":
    main()
