"""Scenes → files: one scene to a map.tif, or many into a folder, done ones skipped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from geolulc.analysis import describe_map
from geolulc.delivery import present
from geolulc.errors import GeolulcError, OutputError, ParameterError
from geolulc.mapping.mapper import Mapper
from geolulc.mapping.options import MapOptions
from geolulc.mapping.run import Run
from geolulc.nets import Model
from geolulc.outputs.files import MapKind
from geolulc.outputs.options import OutputOptions
from geolulc.outputs.run_record import require_same_run
from geolulc.outputs.story import Backdrop, SceneStory
from geolulc.outputs.writing import write_map
from geolulc.ownership import OWN, reading
from geolulc.products import Scene, open_scene, true_colour
from geolulc.progress import NamedProgress, silent
from geolulc.staging import claimed, require_file_system, require_folder, require_free

_LOG: Final = logging.getLogger(__name__)
#: Longer side of the picture's backdrop, in pixels.
_BACKDROP_PIXELS: Final = 1000
#: Before other decoding: it is short, and writing waits for it.
_FIRST: Final = -1


@dataclass(frozen=True)
class SceneResult:
    """What became of a scene: its files; ``skipped`` if they were there; or its ``error``.

    ``received``: bytes that servers sent for it.
    """

    scene: Path
    files: Mapping[str, Path] = field(default_factory=dict)
    skipped: bool = False
    error: GeolulcError | None = None
    received: int = 0


@dataclass(frozen=True)
class Writing:
    """What to write of each scene: ``overwrite`` what is there; ``description`` of the model.

    ``exclusive``: whether the models are of pixels, whose maps consist of other files.
    """

    output: OutputOptions
    overwrite: int = 0
    description: Mapping[str, Any] | None = None
    exclusive: bool = False

    def plan(self, out: Path) -> list[Path]:
        """The files of a map at ``out``, map.tif last."""
        described = self.description is not None
        return list(self.output.plan(out, exclusive=self.exclusive, model=described).values())

    def record(self, mapper: Mapper) -> dict[str, Any]:
        """All that shapes a map of ``mapper``'s, for ``require_same_run``."""
        kind = MapKind.of(exclusive=self.exclusive, mosaic=False)
        return {**mapper.made_with, **self.output.record(kind)}

    def finished(self, out: Path) -> dict[str, Path]:
        """Part → path of a map at ``out`` that is there already: its map.tif."""
        return {"classes" if self.exclusive else "probabilities": out}


def map_scenes(
    scenes: Sequence[Path],
    out: Path,
    models: Sequence[Model],
    options: MapOptions,
    *,
    output: OutputOptions,
    overwrite: int = 0,
    description: Mapping[str, Any] | None = None,
    progress: NamedProgress = silent,
) -> list[SceneResult]:
    """Map scenes into files.

    Of one scene, ``out`` is its map.tif. Of several it is a folder (made where its parent
    exists) of ``PRODUCT.tif``: scenes whose map is there, made with the same models and options,
    are skipped; one that fails is reported in its result while the others go on; the next
    scene's decoding starts while the last batches of this one are computed and written.

    Args:
        scenes: product folders or zips.
        out: a path that ends in .tif, or a folder.
        models: averaged.
        options: how to map.
        output: what to write.
        overwrite: 1 to replace what geolulc wrote, 2 for any file.
        description: what ``describe_model`` says, for STAC and report.
        progress: called with a scene's name; the context gives its progress function.

    Raises:
        GeolulcError: of a single ``.tif``: whatever is wrong. Of a folder: what is wrong with
            the folder or the options.
    """
    pixels = any(model.net.task == "pixel" for model in models)
    writing = Writing(output, overwrite, description, pixels)
    with reading([*scenes, *options.files]):
        single = open_target(out, len(scenes), writing)
        with Mapper(models, options) as mapper:
            return _Batch(out, single, writing, progress).run(mapper, scenes)


def map_scene(
    mapper: Mapper,
    scene: Path,
    out: Path,
    writing: Writing,
    *,
    single: bool,
    progress: NamedProgress = silent,
) -> SceneResult:
    """Map one scene on a mapper that others were or will be mapped on.

    Args:
        mapper: its models and options.
        scene: a product.
        out: what ``open_target`` has looked at.
        writing: what to write.
        single: what ``open_target`` gave.
        progress: as for ``map_scenes``.

    Raises:
        GeolulcError: if ``single``, whatever is wrong; else it is in the result.
    """
    return _Batch(out, single, writing, progress).run(mapper, [scene])[0]


def open_target(out: Path, count: int, writing: Writing) -> bool:
    """Whether ``out`` is the map.tif of one scene; else it is a folder, made where it is not.

    Raises:
        GeolulcError: it cannot be written there. Minutes of decoding would be for nothing.
    """
    require_file_system(out)
    if count == 1 and out.suffix and not out.is_dir():
        require_free(writing.plan(out), overwrite=writing.overwrite)
        return True
    require_folder(out, "map.tif", f"{count} scenes")
    out.mkdir(exist_ok=True)
    return False


@dataclass
class _Opened:
    """A scene under way: its run is None where there is nothing to do or something is wrong."""

    result: SceneResult
    target: Path | None = None
    run: Run | None = None
    backdrop: Future[Backdrop | None] | None = None
    stack: ExitStack = field(default_factory=ExitStack)


class _Batch:
    def __init__(self, out: Path, single: bool, writing: Writing, progress: NamedProgress) -> None:
        self._out, self._single, self._writing, self._progress = out, single, writing, progress
        self._targets: dict[Path, Path] = {}

    def run(self, mapper: Mapper, scenes: Sequence[Path]) -> list[SceneResult]:
        results = []
        waiting = list(reversed(scenes))
        opened = self._open(mapper, waiting.pop())
        while True:
            upcoming: list[_Opened] = []

            def open_next(upcoming: list[_Opened] = upcoming) -> None:
                # done ones are told at once; the first with work to do starts to decode
                while waiting and not (upcoming and upcoming[-1].run):
                    upcoming.append(self._open(mapper, waiting.pop()))

            try:
                results.append(self._finish(mapper, opened, open_next))
            except BaseException:
                for other in upcoming:
                    other.stack.close()
                raise
            open_next()
            results.extend(other.result for other in upcoming if other.run is None)
            opened_runs = [other for other in upcoming if other.run is not None]
            if not opened_runs:
                return results
            opened = opened_runs[0]

    def _open(self, mapper: Mapper, path: Path) -> _Opened:
        opened = _Opened(SceneResult(path))
        try:
            asking = mapper.options.offset, mapper.options.allow_internal
            scene = open_scene(path, offset=asking[0], allow_internal=asking[1])
            target = self._out if self._single else self._target(path, scene)
            opened.stack.enter_context(claimed(target))
            there = None if self._single or self._writing.overwrite else present(target)
            if there is not None:
                self._require_same(there, mapper)
                opened.stack.close()
                opened.result = SceneResult(path, self._writing.finished(there), skipped=True)
                return opened
            opened.target = target
            require_free(self._writing.plan(target), overwrite=self._overwrite)
            run = mapper.open(scene)
            opened.stack.enter_context(run)
            opened.run = run
            run.reader.start()
            if self._writing.output.backdrop:
                opened.backdrop = mapper.decoders.submit(
                    _FIRST, f"the true-colour image of {path}", lambda: _backdrop(scene, run)
                )
        except GeolulcError as error:
            opened.stack.close()
            if self._single:
                raise
            opened.run, opened.result = None, SceneResult(path, error=error)
        return opened

    def _finish(
        self, mapper: Mapper, opened: _Opened, when_decoded: Callable[[], None]
    ) -> SceneResult:
        scene, run, target = opened.result.scene, opened.run, opened.target
        if run is None or target is None:
            return opened.result
        with opened.stack:
            try:
                with self._progress(run.scene.name) as progress:
                    drawn = opened.backdrop
                    backdrop = None if drawn is None else mapper.decoders.result(drawn)
                    files = write_map(
                        run.header,
                        run.blocks(progress, when_decoded),
                        target,
                        story=SceneStory(
                            self._writing.description,
                            backdrop=backdrop,
                            made_by=mapper.made_with,
                        ),
                        options=self._writing.output,
                        overwrite=self._overwrite,
                    )
            except GeolulcError as error:
                if self._single:
                    raise
                return SceneResult(scene, error=error)
        return SceneResult(scene, files, received=getattr(run.scene, "received", 0))

    @property
    def _overwrite(self) -> int:
        # in a folder, files of ours without their map.tif are of a run that was killed
        return self._writing.overwrite if self._single else max(self._writing.overwrite, OWN)

    def _target(self, path: Path, scene: Scene) -> Path:
        target = self._out / f"{scene.name}.tif"
        other = self._targets.setdefault(target, path)
        if other != path:
            raise ParameterError(
                path,
                found=f"the product that {other} holds too",
                expected="each product once",
                remedy="Leave one of them out.",
            )
        return target

    def _require_same(self, target: Path, mapper: Mapper) -> None:
        """``OutputError`` unless the map that is there is the one that would be made."""
        there = describe_map(target)
        if made := there.get("made_with"):
            require_same_run(target, made, self._writing.record(mapper))
            return
        # of an older version
        size = there.get("stride_m", there.get("pixel_size_m"))
        found = size, there["model"].get("sha256", "")
        expected = mapper.cell_size, mapper.ensemble.origin["sha256"]
        if found != expected:
            raise OutputError(
                target,
                found=f"a map of {found[0]} m by model {found[1][:12] or 'unknown'}",
                expected=f"one of {expected[0]} m by {expected[1][:12] or 'this model'}",
                remedy="Give another folder, or --overwrite to replace it.",
            )


def _backdrop(scene: Scene, run: Run) -> Backdrop | None:
    # a map of pixels covers what was asked for only, and shows it finer
    within = run.header.grid.extent if run.header.exclusive else None
    try:
        return true_colour(scene, _BACKDROP_PIXELS, within)
    except GeolulcError as error:
        # a picture can do without; the map does not depend on it
        _LOG.warning("no true-colour backdrop: %s", error)
        return None
