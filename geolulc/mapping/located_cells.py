"""Which cells lie in which patches, and where: geometry of maps that are finer than patches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.grid import Grid, MapGrid

#: A cell is what the evidence is on average at so many places along each side.
_PLACES: Final = 4


@dataclass(frozen=True)
class Line:
    """The cells along one side of a patch whose centres lie in it.

    Attributes:
        cells: of the map's rows or columns.
        places: float64 (cells, places), metres from the patch's edge.
        weights: float32 (cells,): where patches overlap, the one in whose middle a cell lies
            counts more.
    """

    cells: slice
    places: NDArray[np.float64]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class LocatedCells:
    """Cells of ``cells.cell`` metres in the patches of ``patches``."""

    patches: MapGrid
    cells: Grid

    def row(self, row: int) -> Line:
        """The cells along the left side of the patches in ``row``."""
        tile = self.cells.extent
        return _line(
            self.patches.patch_top(row), self.patches.patch_size, self.cells.cell, tile.height
        )

    def column(self, column: int) -> Line:
        """The cells along the upper side of the patches in ``column``."""
        tile = self.cells.extent
        return _line(
            self.patches.patch_left(column), self.patches.patch_size, self.cells.cell, tile.width
        )

    def patches_of(self, selected: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The patches that cover a part of a ``selected`` cell: bool (row, column)."""
        counts = np.zeros((selected.shape[0] + 1, selected.shape[1] + 1), np.int64)
        counts[1:, 1:] = selected.cumsum(axis=0).cumsum(axis=1)
        rows, columns = self.patches.shape
        top, bottom = self._covered([self.patches.patch_top(i) for i in range(rows)])
        left, right = self._covered([self.patches.patch_left(i) for i in range(columns)])
        found: NDArray[np.bool_] = (
            counts[bottom[:, None], right]
            - counts[top[:, None], right]
            - counts[bottom[:, None], left]
            + counts[top[:, None], left]
        ) > 0
        return found

    def _covered(self, starts: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last (exclusive) cell of which patches that start so cover a part."""
        start = np.array(starts)
        return start // self.cells.cell, -(-(start + self.patches.patch_size) // self.cells.cell)


class ShareCounts:
    """Counts pixels by cell as strips come by; each row of the ground once.

    Attributes:
        counts: int64 (rows, columns) of pixels counted so far.
    """

    def __init__(self, cells: Grid, resolution: int) -> None:
        self._cells, self._resolution = cells, resolution
        self.counts = np.zeros(cells.shape, np.int64)
        self._next = 0

    def add(self, top: int, mask: NDArray[np.bool_]) -> None:
        """Count pixels that are true, of rows from ``top`` metres on, over the tile's width."""
        r, stride = self._resolution, self._cells.cell
        known = max(0, self._next - top) // r
        mask = mask[known:]
        if not len(mask):
            return
        self._next = top + (known + len(mask)) * r
        first_columns = np.arange(0, mask.shape[1], stride // r)
        sums = np.add.reduceat(mask.astype(np.int64), first_columns, axis=1)
        rows = (top + (known + np.arange(len(mask))) * r) // stride
        np.add.at(self.counts, rows, sums)

    def shares(self, rows: slice) -> NDArray[np.float32]:
        """The counts of some rows as shares of the cells' parts on the tile."""
        extent, side = self._cells.extent, self._cells.cell
        height, width = (
            np.minimum(side, length - np.arange(count) * side) // self._resolution
            for length, count in zip((extent.height, extent.width), self._cells.shape, strict=True)
        )
        whole = np.outer(height[rows], width)
        shares: NDArray[np.float32] = (self.counts[rows] / whole).astype(np.float32)
        return shares


@cache
def _line(start: int, size: int, stride: int, extent: int) -> Line:
    count = -(-extent // stride)
    edges = np.minimum(np.arange(count + 1) * stride, extent)
    centres = (edges[:-1] + edges[1:]) / 2
    inside = np.flatnonzero((centres >= start) & (centres < start + size))
    part = (np.arange(_PLACES) + 0.5) / _PLACES
    lower, upper = edges[inside][:, None], edges[inside + 1][:, None]
    places = (lower + part * (upper - lower) - start).clip(0, size)
    from_edge = np.minimum(centres[inside] - start, start + size - centres[inside])
    weights = np.maximum(from_edge, 1.0) / size
    cells = slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0)
    return Line(cells, places, weights.astype(np.float32))
