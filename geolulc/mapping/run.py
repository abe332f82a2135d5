"""One scene on a mapper: windows in, blocks of the map out, while the next ones are decoded."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from geolulc.errors import CheckpointError, ProductError
from geolulc.mapping.cells import PatchCells, Task
from geolulc.mapping.pixel_cells import PixelCells
from geolulc.mapping.strips import StripReader
from geolulc.mapping.workers import Workers
from geolulc.maps.encoding import NODATA
from geolulc.maps.header import MapBlock
from geolulc.process import give_back_memory
from geolulc.products import CLASSIFICATION, Scene
from geolulc.progress import Progress

#: The cells of a map of one scene, and the windows that say something of them.
Cells: TypeAlias = PatchCells | PixelCells

_LOG: Final = logging.getLogger(__name__)
#: Inference comes before decoding: it frees the memory that decoding ahead takes.
INFERENCE: Final = 0
#: Share of the cells with data that a model's numbers may be too large for.
_MOST_OVERFLOWN: Final = 0.5


@dataclass(frozen=True)
class _Step:
    """A task under way; ``windows`` are done with it."""

    task: Task
    future: Future[Any] | None = None
    windows: int = 0


class Run:
    """One scene on a mapper: a context manager that holds the scene open.

    Attributes:
        scene: what is mapped.
        header: the map.
        reader: decodes the scene.
    """

    def __init__(
        self,
        cells: Cells,
        scene: Scene,
        *,
        decoders: Workers,
        networks: Workers,
        mask_scl: bool,
        verify: bool = True,
        allow_empty: bool = False,
    ) -> None:
        """Prepare to read.

        Args:
            cells: of the map.
            scene: what is mapped.
            decoders, networks: threads.
            mask_scl: read the scene classification, which tells what is not clear.
            verify: compare images with the checksums that came with them.
            allow_empty: a map without a cell that has data is no error.
        """
        self._allow_empty = allow_empty
        self.scene, self.header = scene, cells.header
        self._cells, self._networks = cells, networks
        self._under_way: deque[_Step] = deque()
        self._stack = ExitStack()
        wanted = {name for group in cells.bands.values() for name in group}
        wanted |= {CLASSIFICATION} if mask_scl else set()
        names = [name for name in scene.images if name in wanted]
        try:
            images = self._stack.enter_context(scene.opened(names, verify=verify))
            self.reader = self._stack.enter_context(
                StripReader(images, cells.bands, cells.windows, decoders, selected=cells.selected)
            )
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        for step in self._under_way:
            if step.future is not None:
                step.future.cancel()
        self._stack.close()

    def blocks(
        self,
        progress: Progress | None = None,
        when_decoded: Callable[[], None] | None = None,
        *,
        shares: bool = False,
    ) -> Iterator[MapBlock]:
        """The map from top to bottom in blocks of whole rows, while the next are computed.

        Args:
            progress: called with (windows done, windows in all).
            when_decoded: called when there is nothing left to decode.
            shares: probabilities are float32 in all maps; else those of pixels are steps of 1/250.

        Raises:
            ProductError: the scene cannot be decoded, or (unless that is allowed) no cell has data.
            CheckpointError: at the end, where the model's numbers were too large in most cells.
        """
        mapped = overflown = 0
        for block in self._blocks(progress, when_decoded, shares=shares):
            mapped += _count_mapped(block)
            overflown += block.overflown
            yield block
        if overflown:
            self._tell_overflow(overflown, overflown / (mapped + overflown))
        elif not mapped and not self._allow_empty:
            unit = self.header.unit.one
            own = "" if self.header.exclusive else "--min-clear, "
            raise ProductError(
                self.scene.name,
                found=f"no {unit} with enough ground that has data and is clear",
                expected="something to map",
                remedy=f"Take another scene, or change {own}--min-valid, --mask-scl or --aoi; "
                "--allow-empty writes the map all the same.",
            )

    def _tell_overflow(self, overflown: int, share: float) -> None:
        model, units = self.header.model.get("name", "the model"), self.header.unit.many
        if share > _MOST_OVERFLOWN:
            raise CheckpointError(
                f"model {model}",
                found=f"numbers that float32 cannot hold in {share:.1%} of the {units} of "
                f"{self.scene.name}",
                expected=f"at most {_MOST_OVERFLOWN:.0%}",
                remedy="Its weights are damaged or its training diverged: use another model.",
            )
        _LOG.warning(
            "%s: numbers of %s are too large for float32 in %d %s, %.1f %% of those with data: "
            "these have no data in the map",
            self.scene.name,
            model,
            overflown,
            units,
            100 * share,
        )

    def _blocks(
        self,
        progress: Progress | None,
        when_decoded: Callable[[], None] | None,
        *,
        shares: bool,
    ) -> Iterator[MapBlock]:
        total, done = int(self._cells.selected.sum()), 0
        for step in self._steps(when_decoded):
            if step.future is not None and step.task.place is not None:
                step.task.place(self._networks.result(step.future))
            if step.task.complete is not None:
                yield from self._cells.leave(step.task.complete, shares=shares)
            done += step.windows
            if step.windows and progress is not None:
                progress(done, total)
        # writing goes on for a while: what decoding and inference took is free for it
        self._stack.close()
        give_back_memory()
        yield from self._cells.leave(None, shares=shares)

    def _steps(self, when_decoded: Callable[[], None] | None) -> Iterator[_Step]:
        """All tasks in their order, each when it is time to wait for it."""
        rows = self.reader.rows
        for group in self._cells.groups(rows):
            strip = self.reader.read(group[0], group[-1])
            if group[-1] == rows[-1] and when_decoded is not None:
                when_decoded()
            tasks = self._cells.tasks(group, strip)
            del strip  # not beside the next one
            while True:
                # there is room before the next task is made: it takes memory
                while self._under_way and self._is_due():
                    yield self._under_way.popleft()
                task = next(tasks, None)
                if task is None:
                    break
                self._under_way.append(_Step(task, self._submit(task, group[0])))
            windows = int(self._cells.selected[group].sum())
            self._under_way.append(_Step(Task(), windows=windows))
        while self._under_way:
            yield self._under_way.popleft()

    def _is_due(self) -> bool:
        """Whether the first step is done, or so many are being computed that it is waited for."""
        first = self._under_way[0].future
        if first is None or first.done():
            return True
        computed = sum(step.future is not None for step in self._under_way)
        return computed > self._cells.ahead * len(self._networks)

    def _submit(self, task: Task, row: int) -> Future[Any] | None:
        if task.work is None:
            return None
        what = f"inference on windows of row {row} of {self.scene.name}"
        return self._networks.submit(INFERENCE, what, task.work)


def _count_mapped(block: MapBlock) -> int:
    """How many cells of a block have data."""
    first = block.probabilities[0]
    return int(np.count_nonzero(first != NODATA if first.dtype == np.uint8 else ~np.isnan(first)))
