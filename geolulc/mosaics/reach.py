"""Which maps reach which part of a mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from geolulc.grid import CellGrid, Extent
from geolulc.mosaics.grids import projected_bounds
from geolulc.mosaics.sources import MapSource

Source = TypeVar("Source", bound=MapSource)


def part_of(grid: CellGrid, row: int, column: int, rows: int, columns: int) -> CellGrid:
    """The cells from ``row`` and ``column`` on, at most so many, cut to the grid's extent."""
    tile, size = grid.tile, grid.stride
    extent = Extent(
        tile.crs,
        tile.left + column * size,
        tile.top - row * size,
        min(columns * size, tile.width - column * size),
        min(rows * size, tile.height - row * size),
    )
    return CellGrid(extent, size, grid.patch_size)


class Reach(Generic[Source]):
    """The maps over the cells of a mosaic, from the earliest to the latest."""

    def __init__(self, sources: Sequence[Source], cells: CellGrid) -> None:
        # "latest" wants them by time; equal times by name, so that runs agree
        self._sources = sorted(sources, key=lambda s: (s.time, s.path.name))
        self._boxes = np.array([_box(s, cells.tile.crs) for s in self._sources])
        self._cells = cells

    def places(self, block: int) -> list[tuple[int, int]]:
        """(row, column) of the first cell of each block of so many cells a side that a map
        reaches, row by row.
        """
        rows, columns = self._cells.shape
        return [
            (row, column)
            for row in range(0, rows, block)
            for column in range(0, columns, block)
            if self.sources(part_of(self._cells, row, column, block, block))
        ]

    def sources(self, part: CellGrid) -> list[Source]:
        """The maps that reach a part of the mosaic."""
        tile = part.tile
        rows, columns = part.shape
        right, bottom = tile.left + columns * part.stride, tile.top - rows * part.stride
        left, low, east, high = self._boxes.T
        inside = (left < right) & (east > tile.left) & (low < tile.top) & (high > bottom)
        return [self._sources[i] for i in np.flatnonzero(inside)]


def _box(source: MapSource, crs: str) -> tuple[float, float, float, float]:
    """The map's cells in the mosaic's CRS, those beyond its tile included."""
    grid = source.grid
    rows, columns = grid.shape
    left, top = grid.tile.left, grid.tile.top
    bounds = (left, top - rows * grid.stride, left + columns * grid.stride, top)
    return projected_bounds(grid.tile.crs, crs, bounds)
