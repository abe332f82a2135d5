"""Which cells of a map are wanted, and which JP2 tiles that takes. Geometry only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geolulc.grid import TileGrid
from geolulc.products import Tiling


class Windows(Protocol):
    """Rows and columns of windows over a tile: patches of a map's cells, or overlapping squares."""

    @property
    def tile(self) -> TileGrid:
        """The ground."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of windows."""

    def window(self, row: int, column: int, resolution: int) -> tuple[slice, slice]:
        """(rows, columns) in pixels of ``resolution`` metres of a window."""


@dataclass(frozen=True)
class TileRow:
    """The tiles of one image that lie in ``row`` and are needed, with the cell rows that do."""

    row: int
    columns: tuple[int, ...]
    first: int
    last: int


def patch_columns(grid: Windows, cells: NDArray[np.bool_], resolution: int) -> NDArray[np.bool_]:
    """Pixel columns of ``resolution`` metres that the patches of a row's ``cells`` touch."""
    touched = np.zeros(grid.tile.width // resolution, bool)
    for column in np.flatnonzero(cells):
        touched[grid.window(0, int(column), resolution)[1]] = True
    return touched


def plan_tile_rows(
    grid: Windows, selected: NDArray[np.bool_], tiling: Tiling, resolution: int
) -> list[TileRow]:
    """The tiles that the selected cells' patches touch: each once, from top to bottom.

    Args:
        grid: the map's grid.
        selected: bool (row, column): cells wanted.
        tiling: of an image of ``resolution`` metres.

    Returns:
        For each row of tiles that is needed, its columns and the first and last cell row
        that read it.
    """
    needed: dict[int, tuple[set[int], list[int]]] = {}
    for row in range(grid.shape[0]):
        if not selected[row].any():
            continue
        columns = patch_columns(grid, selected[row], resolution)
        touched = np.flatnonzero(columns) // tiling.tile_shape[1]
        rows = grid.window(row, 0, resolution)[0]
        first, last = rows.start // tiling.tile_shape[0], (rows.stop - 1) // tiling.tile_shape[0]
        for tile_row in range(first, last + 1):
            tile_columns, cell_rows = needed.setdefault(tile_row, (set(), []))
            tile_columns.update(touched.tolist())
            cell_rows.append(row)
    return [
        TileRow(tile_row, tuple(sorted(columns)), min(rows), max(rows))
        for tile_row, (columns, rows) in sorted(needed.items())
    ]
