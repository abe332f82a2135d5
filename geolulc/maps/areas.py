"""Areas on the ground.

A map projection stretches ground: in UTM an area is drawn 0.08 % too small on the central
meridian and up to 0.2 % too large at the edge of a zone. The true area of a cell is its projected
area divided by the projection's areal scale (Snyder 1987, "Map Projections: A Working Manual",
eq. 4-16; PROJ's ``proj_factors`` on the CRS's own ellipsoid). Across 1,200 m the scale is linear
to better than 1e-8, so its value at the centre is the mean; it changes by less than 5e-6 on the
way.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Proj, Transformer

from geolulc.grid import Grid

SQUARE_METRES_PER_HECTARE: Final = 10_000.0


@dataclass(frozen=True, slots=True)
class AreaMethod:
    """How the cells of a map are measured.

    Attributes:
        spacing: metres over which one areal scale holds; 0: each cell has its own.
        step: areas of whole cells are multiples of this many hectares, so that sums of them are
            exact in float64, in any order and grouping, up to 2^53 steps.
        words: the method in words, for outputs to say.
    """

    spacing: int
    step: float
    words: str

    def along(self, grid: Grid) -> int:
        """Cells along the squares that share an areal scale; they start at the map's corner."""
        return max(1, self.spacing // grid.cell)


#: Multiples of 0.0095 m²: sums are exact up to 8.6 billion hectares.
CELL_AREAS: Final = AreaMethod(
    0,
    2.0**-20,
    "hectares on the ground, counted on the map, not estimated: projected area divided by the "
    "projection's areal scale at the cell's centre; cells cut to the tile",
)
#: Of a class: the sum over all cells of its fraction × area.
FRACTION_AREAS: Final = replace(
    CELL_AREAS,
    words="hectares on the ground, from the model's cover fractions (sum of fraction × area of the "
    "cell), not estimated from a sample: projected area divided by the projection's areal scale at "
    "the cell's centre; cells cut to the tile",
)
#: Multiples of 2.3 mm²: sums are exact over a tile and more (2^21 ha).
PIXEL_AREAS: Final = AreaMethod(
    1200,
    2.0**-32,
    "hectares on the ground, counted on the map, not estimated: projected area divided by the "
    "projection's areal scale, which is taken once every 1,200 m",
)


def ground_areas(
    grid: Grid,
    method: AreaMethod,
    rows: slice = slice(None),
    columns: slice = slice(None),
    *,
    whole: bool = False,
) -> NDArray[np.float64]:
    """Hectares on the ground of cells of ``grid``: float64 (rows, columns).

    Args:
        grid: the cells.
        method: how they are measured.
        rows, columns: which cells; all by default.
        whole: measure the whole cells of the last row and column, not only their parts on the
            extent, at the areal scale of these parts.
    """
    r0, r1, _ = rows.indices(grid.shape[0])
    c0, c1, _ = columns.indices(grid.shape[1])
    areas = _areas(grid, method, r0, r1, c0, c1)
    if not whole:
        return areas
    x, y = grid.edges(slice(r0, r1), slice(c0, c1))
    return areas / (np.outer(-np.diff(y), np.diff(x)) / grid.cell**2)


@functools.lru_cache(maxsize=8)  # rasters, vectors and tables of a map ask for the same cells
def _areas(
    grid: Grid, method: AreaMethod, r0: int, r1: int, c0: int, c1: int
) -> NDArray[np.float64]:
    along = method.along(grid)
    squares = Grid(grid.extent, along * grid.cell, grid.tile)
    top, left = r0 // along, c0 // along
    x, y = squares.edges(slice(top, -(-r1 // along)), slice(left, -(-c1 // along)))
    if along == 1:
        centre_x, centre_y = (x[:-1] + x[1:]) / 2, (y[:-1] + y[1:]) / 2
        projected = np.outer(-np.diff(y), np.diff(x))
    else:
        # the last square may reach beyond the map; its scale is still taken on the map
        half = squares.cell / 2
        centre_x = np.minimum(x[:-1] + half, grid.extent.left + grid.extent.width)
        centre_y = np.maximum(y[:-1] - half, grid.extent.top - grid.extent.height)
        projected = np.full((len(centre_y), len(centre_x)), float(grid.cell**2))
    scale = areal_scale(grid.extent.crs, *np.meshgrid(centre_x, centre_y))
    hectares = projected / scale / SQUARE_METRES_PER_HECTARE
    areas: NDArray[np.float64] = np.round(hectares / method.step) * method.step
    if along > 1:
        areas = areas[
            (np.arange(r0, r1) // along - top)[:, None], np.arange(c0, c1) // along - left
        ]
    areas.flags.writeable = False
    return areas


def areal_scale(crs: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Projected area divided by true area at projected positions; of the same shape as ``x``."""
    projection, to_geographic = _projection(crs)
    longitude, latitude = to_geographic.transform(np.ravel(x), np.ravel(y))
    factors = projection.get_factors(longitude, latitude)
    return np.asarray(factors.areal_scale, np.float64).reshape(np.shape(x))


@functools.lru_cache(maxsize=4)  # they take longer to make than a row of squares to project
def _projection(crs: str) -> tuple[Proj, Transformer]:
    projected = CRS.from_user_input(crs)
    if projected.geodetic_crs is None:
        raise ValueError(f"{crs} has no geographic CRS")
    transformer = Transformer.from_crs(projected, projected.geodetic_crs, always_xy=True)
    return Proj(projected), transformer
