"""Cells inside patches of a patch model: the answer of a patch is placed on the cells in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from geolulc.grid import Grid
from geolulc.mapping.cells import PatchCells, Task
from geolulc.mapping.inference import NetworkStrip
from geolulc.mapping.located_cells import LocatedCells, ShareCounts
from geolulc.mapping.location import LocatedEnsemble
from geolulc.mapping.options import MapOptions
from geolulc.mapping.quality import clear_pixels, valid_pixels
from geolulc.mapping.strips import Strip
from geolulc.products import Scene


class InnerCells(PatchCells):
    """Cells inside patches: the answer of a patch is placed on the cells that lie in it."""

    _ensemble: LocatedEnsemble

    def __init__(
        self, ensemble: LocatedEnsemble, scene: Scene, options: MapOptions, *, batch_size: int
    ) -> None:
        super().__init__(ensemble, scene, options, batch_size=batch_size)
        grid = self.header.grid
        self._geometry = LocatedCells(self.windows, grid)
        self.selected = self._geometry.patches_of(self._wanted)
        rows = [self._geometry.row(row).cells for row in range(self.windows.shape[0])]
        self._canvas = self._new_canvas(max(cells.stop - cells.start for cells in rows))
        self._finest = min(ensemble.bands)
        self._counts = [
            ShareCounts(grid, self._finest) for _ in range(1 if self._clear is None else 2)
        ]

    def _grid(self, scene: Scene) -> Grid:
        return Grid.over(scene.grid, self._options.resolution or self.windows.stride)

    def _before(self, rows: Sequence[int]) -> Iterator[Task]:
        # cells across the border between two rows of patches are counted with the lower one
        yield Task(complete=self._geometry.row(rows[0]).cells.start)

    def _after(self, rows: Sequence[int]) -> Iterator[Task]:
        yield from ()

    def _keep_quality(
        self,
        rows: Sequence[int],
        valid: NDArray[np.float32],
        clear: NDArray[np.float32] | None,
        strip: Strip,
    ) -> None:
        top = self.windows.patch_top(rows[0])
        self._counts[0].add(top, valid_pixels(strip.dn))
        if self._clear is not None and strip.scl is not None:
            clear_ground = clear_pixels(strip, self._options.mask_scl, self._finest)
            self._counts[1].add(top, clear_ground)

    def _keep_unlikeness(
        self, row: int, columns: NDArray[np.intp], found: NDArray[np.float32]
    ) -> None:
        if self._unlikeness is None:
            return
        down = self._geometry.row(row).cells
        for column, value in zip(columns, found, strict=True):
            at = down, self._geometry.column(int(column)).cells
            # of overlapping patches the one that is least like the training
            self._unlikeness[at] = np.fmax(self._unlikeness[at], value)

    def _batch(self, row: int, columns: NDArray[np.intp], strips: list[NetworkStrip]) -> Task:
        lefts, shifts = self._lefts[columns].tolist(), self._shifts(row, columns)
        lines = [self._geometry.column(int(column)) for column in columns]
        down = self._geometry.row(row)
        return Task(
            partial(self._place_inner, row, columns),
            partial(self._ensemble.located, strips, lefts, down, lines, shifts),
        )

    def _place_inner(
        self, row: int, columns: NDArray[np.intp], result: list[NDArray[np.float32]]
    ) -> None:
        """Take over the cells (classes, rows, columns) of each patch of a batch."""
        down = self._geometry.row(row)
        self._canvas.move(down.cells.start)
        for column, cells in zip(columns, result, strict=True):
            across = self._geometry.column(int(column))
            weights = np.outer(down.weights, across.weights)
            self._canvas.add(down.cells.start, across.cells.start, cells * weights, weights)

    def _shares(self, rows: slice) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        valid, *clear = (counts.shares(rows) * self._wanted[rows] for counts in self._counts)
        return valid, clear[0] if clear else None
