"""Cells as polygons, and regions of one dominant class dissolved into polygons."""

from __future__ import annotations

from typing import Any

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray

from geolulc.grid import MapGrid


def cell_polygons(grid: MapGrid, cells: NDArray[np.bool_]) -> NDArray[Any]:
    """A box for each cell that is true in ``cells``, row by row, cut to the tile."""
    rows, columns = np.nonzero(cells)
    tile = grid.tile
    left = tile.left + columns * grid.stride
    top = tile.top - rows * grid.stride
    right = np.minimum(left + grid.stride, tile.left + tile.width)
    bottom = np.maximum(top - grid.stride, tile.top - tile.height)
    boxes: NDArray[Any] = shapely.box(left, bottom, right, top)
    return boxes


def dissolve(grid: MapGrid, codes: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Regions of cells with one code that touch along an edge, as polygons cut to the tile.

    Args:
        grid: places the cells.
        codes: uint8 (rows, columns); 0 belongs to no region.

    Returns:
        The polygons, and int32 (rows, columns): the index of the cell's polygon, -1 for none.
        All corners lie on corners of cells, so neighbours share edges exactly and no sliver
        can arise.
    """
    mask = codes != 0
    shapes = rasterio.features.shapes(codes, mask=mask, connectivity=4)
    polygons = np.array([shapely.geometry.shape(s) for s, _ in shapes], dtype=object)
    owner = np.full(codes.shape, -1, np.int32)
    if len(polygons):
        rasterio.features.rasterize(
            zip(polygons, range(len(polygons)), strict=True), out=owner, dtype=np.int32
        )
        owner[~mask] = -1
    return shapely.transform(polygons, lambda cells: _place(grid, cells)), owner


def _place(grid: MapGrid, cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """(column, row) corners → projected (x, y), those beyond the tile moved to its edge."""
    tile = grid.tile
    x = np.minimum(cells[:, 0] * grid.stride, tile.width) + tile.left
    y = tile.top - np.minimum(cells[:, 1] * grid.stride, tile.height)
    return np.column_stack([x, y])
