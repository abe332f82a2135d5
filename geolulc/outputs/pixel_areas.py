"""Areas on the ground of the pixels of a map: method and source as in ``areas``."""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.outputs.areas import SQUARE_METRES_PER_HECTARE, areal_scale
from geolulc.pixel_map import PixelGrid

#: How pixels are measured, in words, for the outputs to say.
PIXEL_AREA_METHOD: Final = (
    "hectares on the ground: projected area divided by the projection's areal scale, which is "
    "taken once every 1,200 m"
)
#: Metres over which one areal scale holds: it changes by less than 5e-6 on the way.
_STEP: Final = 1200
#: Areas are whole multiples of this many hectares, so that sums over a tile (2^20 ha) are exact
#: in float64, in any order and grouping.
_AREA_STEP: Final = 2.0**-32


@functools.lru_cache(maxsize=4)  # rasters, vectors and tables of a map ask for the same one
def pixel_areas(grid: PixelGrid) -> NDArray[np.float64]:
    """Hectares on the ground of one pixel, by squares of 1,200 m from the map's corner.

    float64 (rows of squares, columns of squares); read-only. ``area_rows`` gives them by pixel.
    """
    along = pixels_per_square(grid)
    rows, columns = (-(-n // along) for n in grid.shape)
    side = grid.resolution * along
    # the last square may reach beyond the map; its scale is still taken on the map
    x = np.minimum((np.arange(columns) + 0.5) * side, grid.width) + grid.transform.c
    y = grid.transform.f - np.minimum((np.arange(rows) + 0.5) * side, grid.height)
    scale = areal_scale(grid.tile.crs, *np.meshgrid(x, y))
    hectares = grid.resolution**2 / scale / SQUARE_METRES_PER_HECTARE
    areas: NDArray[np.float64] = np.round(hectares / _AREA_STEP) * _AREA_STEP
    areas.flags.writeable = False
    return areas


def pixels_per_square(grid: PixelGrid) -> int:
    """Pixels along a square of ``pixel_areas``."""
    return max(1, _STEP // grid.resolution)


def area_rows(
    grid: PixelGrid, row: int, rows: int, columns: slice | None = None
) -> NDArray[np.float64]:
    """Hectares of each pixel of ``rows`` rows from ``row``: float64 (rows, columns)."""
    along = pixels_per_square(grid)
    left, right, _ = (columns or slice(None)).indices(grid.shape[1])
    of_rows, of_columns = np.arange(row, row + rows) // along, np.arange(left, right) // along
    return np.asarray(pixel_areas(grid)[of_rows[:, None], of_columns[None]], np.float64)
