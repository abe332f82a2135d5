"""One scene on a mapper: the loop between decoding and inference, a batch of patches at a time."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.grid import CellGrid, MapGrid
from geolulc.landcover_map import LandCoverMap
from geolulc.mapping.inference import NetworkStrip
from geolulc.mapping.shares import clear_share, valid_share
from geolulc.mapping.strips import Strip, StripReader
from geolulc.products import Product, unpacked

if TYPE_CHECKING:
    from geolulc.mapping.mapper import Mapper

_LOG: Final = logging.getLogger(__name__)
#: Called with (cells done, cells in all).
Progress = Callable[[int, int], None]
#: Inference comes before decoding: it frees the memory that decoding ahead takes.
INFERENCE: Final = 0
#: Metres that patches share a trunk over: higher and wider waste less at the edges, but take
#: more memory (a stretch is worth 24 patches).
_STRETCH_HEIGHT: Final = 3600
_STRETCH_WIDTH: Final = 9600
#: Rows and columns of some cells.
_Cells = tuple[NDArray[np.intp], NDArray[np.intp]]


class SceneRun:
    """One scene on a mapper: a context manager that holds the product open."""

    def __init__(
        self, mapper: Mapper, product: Product, selected: NDArray[np.bool_] | None = None
    ) -> None:
        self._mapper, self.product = mapper, product
        options = mapper.options
        self.grid = MapGrid(product.grid, options.stride, mapper.ensemble.patch_size)
        self._selected = np.ones(self.grid.shape, bool) if selected is None else selected
        if options.aoi is not None and selected is None:
            # reads vector files: loaded only where there is one
            from geolulc.mapping.area import select_cells

            self._selected = select_cells(self.grid, options.aoi)
        self._offsets = mapper.ensemble.offsets(product.offsets)
        shape = (len(mapper.ensemble.classes), *self.grid.shape)
        self._probabilities = np.full(shape, np.nan, np.float32)
        self._under_way: deque[tuple[_Cells, Future[Any]]] = deque()
        self._stack = ExitStack()
        if options.mask_scl and product.scl_file is None:
            _LOG.warning("%s has no scene classification: clouds are not known", product.name)
        try:
            ready = self._stack.enter_context(unpacked(product))
            self.reader = self._stack.enter_context(
                StripReader(
                    ready,
                    self.grid,
                    mapper.decoders,
                    selected=self._selected,
                    scl=bool(options.mask_scl),
                )
            )
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> SceneRun:
        return self

    def __exit__(self, *_: object) -> None:
        for _, future in self._under_way:
            future.cancel()
        self._stack.close()

    def map(
        self,
        progress: Progress | None = None,
        when_decoded: Callable[[], None] | None = None,
    ) -> LandCoverMap:
        """The map; ``when_decoded`` is called when there is nothing left to decode."""
        valid, clear = self._run(progress, when_decoded)
        return self._made(self.grid, self._probabilities, valid, clear)

    def _made(
        self,
        grid: CellGrid,
        probabilities: NDArray[np.float32],
        valid: NDArray[np.float32],
        clear: NDArray[np.float32] | None,
    ) -> LandCoverMap:
        ensemble = self._mapper.ensemble
        if np.isnan(probabilities).all():
            _LOG.warning("%s: no cell has enough valid pixels, the map is empty", self.product.name)
        return LandCoverMap(
            grid=grid,
            classes=ensemble.classes,
            nomenclature=ensemble.nomenclature,
            probabilities=probabilities,
            valid=valid,
            clear=clear,
            thresholds=ensemble.thresholds,
            scene=self.product.scene,
            model=ensemble.origin,
        )

    def _run(
        self, progress: Progress | None, when_decoded: Callable[[], None] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Fills the probabilities; returns valid and clear shares."""
        grid, options = self.grid, self._mapper.options
        valid = np.zeros(grid.shape, np.float32)
        clear = np.zeros(grid.shape, np.float32) if self.reader.has_scl else None
        lefts = np.array([grid.patch_left(column) for column in range(grid.shape[1])])
        total, done = int(self._selected.sum()), 0
        blocks = self._blocks()
        for rows in blocks:
            strip = self.reader.read(rows[0], rows[-1])
            if rows is blocks[-1] and when_decoded is not None:
                when_decoded()
            tops = [grid.patch_top(row) - grid.patch_top(rows[0]) for row in rows]
            for row, top in zip(rows, tops, strict=True):
                part = {r: dn[:, _lines(top, grid.patch_size, r)] for r, dn in strip.dn.items()}
                valid[row] = valid_share(part, lefts, grid.patch_size) * self._selected[row]
                if clear is not None and strip.scl is not None:
                    scl = strip.scl[_lines(top, grid.patch_size, 20)]
                    share = clear_share(scl, lefts, grid.patch_size, options.mask_scl)
                    clear[row] = share * self._selected[row]
            self._note(strip, grid.patch_top(rows[0]))
            enough = (valid[rows] >= options.min_valid) & (valid[rows] > 0)
            wanted = enough & self._selected[rows]
            if wanted.any():
                strips = self._mapper.ensemble.prepare(strip.dn, self._offsets)
                submit = self._submit_shared if self._mapper.shares else self._submit_exact
                submit(np.array(rows), tops, wanted, strips, lefts)
            done += int(self._selected[rows].sum())
            if progress is not None:
                progress(done, total)
        while self._under_way:
            self._collect()
        return valid, clear

    def _blocks(self) -> list[list[int]]:
        """Rows of cells that are computed together: one, or those that share a stretch."""
        if not self._mapper.shares:
            return [[row] for row in self.reader.rows]
        most = 1 + (_STRETCH_HEIGHT - self.grid.patch_size) // self.grid.stride
        blocks: list[list[int]] = []
        for row in self.reader.rows:
            if blocks and len(blocks[-1]) < most and blocks[-1][-1] == row - 1:
                blocks[-1].append(row)
            else:
                blocks.append([row])
        return blocks

    def _note(self, strip: Strip, top: int) -> None:
        """Called with each strip that is read, and where it starts, metres from the tile's top."""

    def _submit_exact(
        self,
        rows: NDArray[np.intp],
        tops: Sequence[int],
        wanted: NDArray[np.bool_],
        strips: list[NetworkStrip],
        lefts: NDArray[np.int64],
    ) -> None:
        """Batches of patches of one row."""
        columns = np.flatnonzero(wanted[0])
        for batch in np.array_split(columns, -(-columns.size // self._mapper.batch_size)):
            task = self._task(strips, lefts, int(rows[0]), batch)
            self._submit((np.full_like(batch, rows[0]), batch), task)

    def _task(
        self,
        strips: list[NetworkStrip],
        lefts: NDArray[np.int64],
        row: int,
        columns: NDArray[np.intp],
    ) -> Callable[[], Any]:
        """What computes a batch of patches of one row; ``_place`` takes what it returns."""
        return partial(self._mapper.ensemble.probabilities, strips, lefts[columns].tolist())

    def _submit_shared(
        self,
        rows: NDArray[np.intp],
        tops: Sequence[int],
        wanted: NDArray[np.bool_],
        strips: list[NetworkStrip],
        lefts: NDArray[np.int64],
    ) -> None:
        """Stretches of some columns of several rows."""
        most = 1 + (_STRETCH_WIDTH - self.grid.patch_size) // self.grid.stride
        for start in range(0, self.grid.shape[1], most):
            columns = np.arange(start, min(start + most, self.grid.shape[1]))
            part = wanted[:, columns]
            if part.any():
                at = np.nonzero(part)
                task = partial(self._shared, strips, tops, lefts[columns].tolist(), at)
                self._submit((rows[at[0]], columns[at[1]]), task)

    def _shared(
        self,
        strips: list[NetworkStrip],
        tops: Sequence[int],
        lefts: Sequence[int],
        at: tuple[NDArray[np.intp], ...],
    ) -> NDArray[np.float32]:
        values: NDArray[np.float32] = self._mapper.ensemble.shared_probabilities(
            strips, tops, lefts
        )[at]
        return values

    def _submit(self, cells: _Cells, task: Callable[[], Any]) -> None:
        """Queue a task whose result ``_place`` takes; waits while enough are under way."""
        networks = self._mapper.networks
        while len(self._under_way) > len(networks):
            self._collect()
        what = f"inference on row {cells[0][0]} of {self.product.name}"
        self._under_way.append((cells, networks.submit(INFERENCE, what, task)))

    def _collect(self) -> None:
        (rows, columns), future = self._under_way.popleft()
        self._place(rows, columns, self._mapper.networks.result(future))

    def _place(self, rows: NDArray[np.intp], columns: NDArray[np.intp], result: Any) -> None:
        """Take over what a task gave: float32 (cells, classes)."""
        self._probabilities[:, rows, columns] = result.T


def _lines(top: int, height: int, resolution: int) -> slice:
    return slice(top // resolution, (top + height) // resolution)
