"""Scenes through Dask: 1 and 2 workers against one process, and what the cluster itself costs.

    python benchmarks/scale.py [--scenes FOLDER] [--count 6] [--tasks 10000] [--json FILE]

Maps the products in FOLDER (made where there are none, by ``tools/make_safe.py`` of
``GEOLULC_SHARED``) with the shipped model: in one process with one thread and with two, on one
worker and on two, one thread each. Each way first maps two scenes, which loads imports and models:
what that takes more than two scenes do later is its start-up. The rate is that of ``--count``
scenes after these, on the same workers; twice the rate of one process with one thread is what two
cores could do at best. Then as many tasks that do nothing go through the same path as scenes do,
ledger and all: their time is what Dask and we add to a scene. Prints ratios of this run; a machine
that does other work gives nothing to go by.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from distributed import Client

from geolulc.cluster.connection import local_cluster
from geolulc.cluster.engine import run_items
from geolulc.cluster.model_files import ModelFile
from geolulc.cluster.scenes import map_scenes_on
from geolulc.cluster.worker import Attempt
from geolulc.mapping import MapOptions, SceneResult, map_scenes
from geolulc.nets import Model, load_checkpoint, shipped_model
from geolulc.outputs.options import OutputOptions

SHARED = Path(os.environ.get("GEOLULC_SHARED", Path(__file__).parents[1] / ".." / "shared"))
OUTPUT = OutputOptions(("probabilities", "classes"))
#: Side of a made tile in pixels, and of a whole one.
SIZE, WHOLE = 2196, 10980
#: Scenes that are mapped before any are timed: one for each of two workers.
FIRST = 2
#: Maps these scenes into a folder.
MapThem = Callable[[Sequence[Path], Path], list[SceneResult]]


@dataclass(frozen=True)
class Nothing:
    """Work that takes no time."""

    def prepare(self, threads: int) -> Callable[[int, Attempt], int]:
        """Nothing to prepare."""
        return self._do

    def _do(self, item: int, attempt: Attempt) -> int:
        return item


@dataclass(frozen=True)
class Pace:
    """What one way of mapping takes: start-up in all, and each scene after it, in seconds."""

    start: float
    scene: float


def make_scenes(folder: Path, count: int) -> None:
    """Synthetic products, each of another tile."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        subprocess.run(
            [
                *(sys.executable, str(SHARED / "tools" / "make_safe.py"), str(folder)),
                *("--size", str(SIZE), "--native-only", "--seed", str(number)),
                *("--tile", f"32T{'ABCDEFGHJKLMNPQRSTUVWXYZ'[number]}S"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path)
    parser.add_argument("--count", type=int, default=6, help="scenes timed, an even number")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.scenes or Path(temporary) / "scenes"
        if not list(folder.glob("*.SAFE")):
            make_scenes(folder, FIRST + given.count)
        scenes = sorted(folder.glob("*.SAFE"))[: FIRST + given.count]
        if len(scenes) <= FIRST:
            parser.error(f"{folder} holds {len(scenes)} scenes; at least {FIRST + 1} are needed")
        paces = measure_scenes(scenes, Path(temporary))
    overhead = measure_tasks(given.tasks)
    one = paces["one process, 1 thread"].scene
    print(f"{len(scenes) - FIRST} scenes after {FIRST} that are not timed")
    print(f"  {'':24} start-up s   s a scene   of twice one process with 1 thread")
    for name, pace in paces.items():
        share = one / (2 * pace.scene)
        print(f"  {name:24} {pace.start:10.1f} {pace.scene:11.2f} {share:11.3f}")
    whole = (WHOLE / SIZE) ** 2 * one
    print(f"{given.tasks:,} tasks that do nothing: {1000 * overhead:.2f} ms each,")
    print(f"  {overhead / one:.3%} of one of these scenes, {overhead / whole:.4%} of a whole tile")
    if given.json:
        found = {name: asdict(pace) for name, pace in paces.items()}
        given.json.write_text(json.dumps({"paces": found, "overhead_s": overhead}))


def measure_scenes(scenes: list[Path], folder: Path) -> dict[str, Pace]:
    """What each way takes."""
    model = shipped_model()

    def alone(threads: int) -> MapThem:
        models: list[Model] = []

        def run(some: Sequence[Path], out: Path) -> list[SceneResult]:
            if not models:  # a worker keeps what it has loaded too
                models.append(load_checkpoint(model))
            options = MapOptions(threads=threads, device="cpu")
            return map_scenes(some, out, models, options, output=OUTPUT)

        return run

    paces = {}
    for threads in (1, 2):
        name = f"one process, {threads} thread{'s' * (threads > 1)}"
        paces[name] = pace(alone(threads), scenes, folder / f"alone{threads}")
        print(name, paces[name], flush=True)
    for workers in (1, 2):
        began = time.perf_counter()
        with local_cluster(workers) as client:
            client.wait_for_workers(workers)
            started = time.perf_counter() - began
            files = [ModelFile.of(model)]

            def on_workers(
                some: Sequence[Path],
                out: Path,
                client: Client = client,
                files: list[ModelFile] = files,
            ) -> list[SceneResult]:
                options = MapOptions(threads=1, device="cpu")
                return map_scenes_on(client, some, out, files, options, output=OUTPUT)

            name = f"{workers} worker{'s' * (workers > 1)}, 1 thread each"
            found = pace(on_workers, scenes, folder / f"on{workers}")
            paces[name] = Pace(found.start + started, found.scene)
            print(name, paces[name], flush=True)
    return paces


def pace(run: MapThem, scenes: list[Path], out: Path) -> Pace:
    """The first scenes, then the others, on what is warm by then."""
    seconds = []
    for some in (scenes[:FIRST], scenes[FIRST:]):
        began = time.perf_counter()
        results = run(some, out)
        seconds.append(time.perf_counter() - began)
        for result in results:
            if result.error is not None:
                raise result.error
    scene = seconds[1] / (len(scenes) - FIRST)
    return Pace(seconds[0] - FIRST * scene, scene)


def measure_tasks(tasks: int) -> float:
    """Seconds a task that does nothing, on two workers."""
    with local_cluster(2) as client:
        list(run_items(client, Nothing(), range(8)))
        began = time.perf_counter()
        done = sum(answer.result is not None for _, answer in run_items(
            client, Nothing(), range(tasks)
        ))  # fmt: skip
        if done != tasks:
            raise RuntimeError(f"{done} of {tasks} tasks came back")
        return (time.perf_counter() - began) / tasks


if __name__ == "__main__":
    main()
