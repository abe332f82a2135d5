"""Areas on the ground.

A map projection stretches ground: in UTM an area is drawn 0.08 % too small on the central
meridian and up to 0.2 % too large at the edge of a zone. The true area of a cell is its projected
area divided by the projection's areal scale at the cell's centre (Snyder 1987, "Map Projections:
A Working Manual", eq. 4-16; PROJ's ``proj_factors`` on the CRS's own ellipsoid). Across a cell the
scale is linear to better than 1e-8, so its value at the centre is the mean over the cell.
"""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Proj, Transformer

from geolulc.grid import CellGrid

#: How areas are measured, in words, for the outputs to say.
AREA_METHOD: Final = (
    "hectares on the ground: projected area divided by the projection's areal scale at the "
    "cell's centre; cells cut to the tile"
)
SQUARE_METRES_PER_HECTARE: Final = 10_000.0
#: Cell areas are whole multiples of this many hectares (0.0095 m²), so that sums of them are
#: exact in float64, in any order and grouping, up to 8.6 billion hectares.
AREA_STEP: Final = 2.0**-20


@functools.lru_cache(maxsize=4)  # every output of a map asks for the same one
def cell_areas(grid: CellGrid) -> NDArray[np.float64]:
    """Hectares on the ground of every cell, (rows, columns); edge cells count as cut to the tile.

    Exact to 1e-8 of a cell, apart from rounding to ``AREA_STEP``. Read-only.
    """
    x_edges, y_edges = _edges(grid)
    centre_x, centre_y = np.meshgrid(
        (x_edges[:-1] + x_edges[1:]) / 2, (y_edges[:-1] + y_edges[1:]) / 2
    )
    projected = np.outer(-np.diff(y_edges), np.diff(x_edges))
    hectares = (
        projected / areal_scale(grid.tile.crs, centre_x, centre_y) / SQUARE_METRES_PER_HECTARE
    )
    areas: NDArray[np.float64] = np.round(hectares / AREA_STEP) * AREA_STEP
    areas.flags.writeable = False
    return areas


def areal_scale(crs: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Projected area divided by true area at projected positions; of the same shape as ``x``."""
    projected = CRS.from_user_input(crs)
    geographic = projected.geodetic_crs
    if geographic is None:
        raise ValueError(f"{crs} has no geographic CRS")
    to_geographic = Transformer.from_crs(projected, geographic, always_xy=True)
    longitude, latitude = to_geographic.transform(np.ravel(x), np.ravel(y))
    factors = Proj(projected).get_factors(longitude, latitude)
    return np.asarray(factors.areal_scale, np.float64).reshape(np.shape(x))


def _edges(grid: CellGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Projected x of the columns' edges and y of the rows' edges, cut to the tile."""
    rows, columns = grid.shape
    tile = grid.tile
    x = np.minimum(np.arange(columns + 1) * grid.stride, tile.width) + tile.left
    y = tile.top - np.minimum(np.arange(rows + 1) * grid.stride, tile.height)
    return x.astype(np.float64), y.astype(np.float64)


def whole_cell_areas(grid: CellGrid) -> NDArray[np.float64]:
    """As ``cell_areas``, but edge cells count whole, at the scale of their part on the tile."""
    x_edges, y_edges = _edges(grid)
    part = np.outer(-np.diff(y_edges), np.diff(x_edges)) / grid.stride**2
    return cell_areas(grid) / part
