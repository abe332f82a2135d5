"""Scenes through a cluster: each mapped and written by a worker; no pixels reach the client."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from distributed import Client

from geolulc.cluster.engine import run_items
from geolulc.cluster.model_files import ModelFile
from geolulc.cluster.worker import Attempt
from geolulc.delivery import Place, at_work, place_of, present, with_urls, working
from geolulc.errors import ClusterError, GeolulcError, OutputError, ParameterError
from geolulc.mapping import MapOptions, Mapper, SceneResult
from geolulc.mapping.scenes import Writing, map_scene, open_target
from geolulc.outputs.options import OutputOptions
from geolulc.ownership import being_read, reading
from geolulc.process import available_cores, confine_gdal, tune_memory
from geolulc.products import describe_scene, remote_url
from geolulc.progress import Progress
from geolulc.staging import remove_leftovers, this_process

#: A network share shows a new file to other hosts after some seconds.
_VISIBLE_SECONDS: Final = 10.0
_MARKER: Final = ".geolulc-run-"


@dataclass(frozen=True)
class SceneWork:
    """What a worker needs to know to map scenes.

    Attributes:
        models: averaged.
        out: as of ``map_scenes``, absolute.
        options: how to map; ``threads`` None takes what the worker has.
        writing: what to write.
        single: ``out`` is the map.tif of the only scene.
        marker: a file that the client has put beside the maps: a worker that does not see it
            would write elsewhere.
        inputs: what the client reads, which no map replaces.
        places: where maps go that are uploaded.
    """

    models: tuple[ModelFile, ...]
    out: Path
    options: MapOptions
    writing: Writing
    single: bool
    marker: Path
    inputs: tuple[Path, ...] = ()
    places: tuple[Place, ...] = ()

    def prepare(self, threads: int) -> _SceneMapper:
        """Load the models; what maps a scene with them."""
        self._require_shared()
        # workers of a running cluster have not started as ours do
        confine_gdal()
        tune_memory()
        options = self.options
        if options.threads is None:
            options = replace(options, threads=threads)
        models = [model.load() for model in self.models]
        return _SceneMapper(self, Mapper(models, options).__enter__())

    def remove_lost(self, gone: Sequence[str]) -> None:
        """What the lost processes ``gone`` were writing: whatever map of the folder that was."""
        if self.single:
            remove_leftovers(self.writing.plan(self.out), gone)
            return
        for process in gone:
            for leftover in self.out.glob(f".*.partial-*-{process}"):
                name = leftover.name[1:].rpartition(".partial-")[0]
                remove_leftovers([self.out / name], gone)

    def _require_shared(self) -> None:
        until = time.monotonic() + _VISIBLE_SECONDS
        while not self.marker.exists():
            if time.monotonic() > until:
                raise OutputError(
                    f"{self.marker.parent} on {socket.gethostname()}",
                    found="not the folder that the client sees",
                    expected="a folder on a file system that all workers share",
                    remedy="Mount it under the same path everywhere, or use --workers.",
                )
            time.sleep(0.2)


@dataclass(frozen=True)
class _SceneMapper:
    work: SceneWork
    mapper: Mapper

    def __call__(self, scene: Path, attempt: Attempt) -> SceneResult:
        work = self.work

        def progress(_: str) -> AbstractContextManager[Progress]:
            return nullcontext(lambda done, total: attempt.go_on())

        with reading(work.inputs), working(work.places):
            if attempt.earlier:
                work.remove_lost(attempt.earlier)
                there = None if work.writing.overwrite else present(work.out)
                if work.single and there is not None:
                    # it was not there before: the worker was lost when all was done
                    return SceneResult(scene, work.writing.finished(there))
            return map_scene(
                self.mapper, scene, work.out, work.writing, single=work.single, progress=progress
            )

    def close(self) -> None:
        """End the mapper's threads."""
        self.mapper.__exit__()


def map_scenes_on(
    client: Client,
    scenes: Sequence[Path],
    out: Path,
    models: Sequence[ModelFile],
    options: MapOptions,
    *,
    output: OutputOptions,
    overwrite: int = 0,
    description: Mapping[str, Any] | None = None,
    retries: int = 2,
    progress: Progress | None = None,
) -> list[SceneResult]:
    """``mapping.map_scenes`` on the workers of a cluster; they share a file system with us.

    A scene whose worker is lost is mapped by another one, ``retries`` times at most; then it is
    reported with the others going on. Scenes that are done are not done again: call it again to
    go on where a client was stopped or killed.

    Args:
        client: of the cluster.
        scenes: product folders or zips.
        out: a path that ends in .tif of one scene, else a folder.
        models: averaged.
        options: how to map.
        output: what to write.
        overwrite: 1 to replace what geolulc wrote, 2 for any file.
        description: what ``describe_model`` says, for STAC and report.
        retries: of a scene whose worker was lost.
        progress: called with (scenes done, scenes in all).

    Returns:
        What became of each scene, in their order.

    Raises:
        GeolulcError: what is wrong with the folder, the options, a worker or the cluster; of a
            single ``.tif``: whatever is wrong.
    """
    given, out = out, out.absolute()
    pixels = any(model.task == "pixel" for model in models)
    writing = Writing(output, overwrite, description, pixels)
    single = open_target(out, len(scenes), writing)
    options = _anywhere(options)
    results: dict[int, SceneResult] = _refuse_doubles(scenes)
    numbers = [number for number in range(len(scenes)) if number not in results]
    with _marked(out.parent if single else out) as marker:
        inputs = (*being_read(), *(Path(path).absolute() for path in options.files))
        work = SceneWork(tuple(models), out, options, writing, single, marker, inputs, at_work())
        items = [s if remote_url(s) else s.absolute() for s in (scenes[n] for n in numbers)]
        targets: dict[Path, Path] = {}
        if progress is not None:
            progress(len(results), len(scenes))
        for at, answer in run_items(client, work, items, retries=retries):
            scene = scenes[numbers[at]]
            result = answer.result
            if result is None or answer.error is not None:
                result = SceneResult(scene, error=_of_scene(scene, items[at], answer.error))
            here = given.parent if single else given
            files = {name: here / path.name for name, path in result.files.items()}
            if place_of(out) is not None:  # some are copies of what is in the store
                files = dict(result.files)
            result = replace(result, scene=scene, files=files)
            results[numbers[at]] = _first_of_target(result, targets)
            if progress is not None:
                progress(len(results), len(scenes))
    if single and (error := results[0].error) is not None:
        raise error
    return [results[number] for number in range(len(scenes))]


def local_threads(options: MapOptions, workers: int) -> MapOptions:
    """``options`` with the threads of one of so many workers on this machine."""
    if options.threads is not None:
        return options
    return replace(options, threads=max(1, available_cores() // workers))


def _anywhere(options: MapOptions) -> MapOptions:
    """``options`` that mean the same in another folder."""
    if options.aoi is not None and Path(options.aoi).exists():
        return replace(options, aoi=Path(options.aoi).absolute())
    return options


def _refuse_doubles(scenes: Sequence[Path]) -> dict[int, SceneResult]:
    """Number → error of those that hold the product of an earlier one: both would write its map.

    Metadata are read only of those whose names agree; of others it shows when both are mapped.
    """
    counts = Counter(scene.name for scene in scenes)
    first: dict[str, Path] = {}
    doubles = {}
    for number, scene in enumerate(scenes):
        if counts[scene.name] == 1:
            continue
        try:
            product = describe_scene(scene)["name"]
        except GeolulcError:
            continue  # a worker will say what is wrong with it
        if product in first:
            doubles[number] = _double(scene, first[product])
        else:
            first[product] = scene
    return doubles


def _first_of_target(result: SceneResult, targets: dict[Path, Path]) -> SceneResult:
    if not result.files:
        return result
    target = Path(with_urls(list(result.files.values())[-1]))
    if target in targets:
        return _double(result.scene, targets[target])
    targets[target] = result.scene
    return result


def _double(scene: Path, other: Path) -> SceneResult:
    error = ParameterError(
        scene,
        found=f"the product that {other} holds too",
        expected="each product once",
        remedy="Leave one of them out.",
    )
    return SceneResult(scene, error=error)


def _of_scene(scene: Path, item: Path, error: GeolulcError | None) -> GeolulcError:
    """The error with the scene as the user gave it."""
    if error is None:
        return ClusterError(scene, found="no result", expected="a map", remedy="Run it again.")
    if error.subject != str(item):
        return error
    return type(error)(scene, found=error.found, expected=error.expected, remedy=error.remedy)


@contextmanager
def _marked(folder: Path) -> Iterator[Path]:
    """A file in ``folder`` while we work on it."""
    marker = folder / f"{_MARKER}{this_process()}"
    for old in folder.glob(f"{_MARKER}{socket.gethostname()}-*"):
        pid = old.name.rpartition("-")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and os.name == "posix":
            old.unlink(missing_ok=True)
    marker.touch()
    try:
        yield marker
    finally:
        marker.unlink(missing_ok=True)
