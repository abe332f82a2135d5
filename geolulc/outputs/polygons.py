"""Cells as polygons, and regions of one dominant class dissolved into polygons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from scipy.ndimage import label

from geolulc.grid import CellGrid


def cell_polygons(grid: CellGrid, cells: NDArray[np.bool_]) -> NDArray[Any]:
    """A box for each cell that is true in ``cells``, row by row, cut to the tile."""
    rows, columns = np.nonzero(cells)
    tile = grid.tile
    left = tile.left + columns * grid.stride
    top = tile.top - rows * grid.stride
    right = np.minimum(left + grid.stride, tile.left + tile.width)
    bottom = np.maximum(top - grid.stride, tile.top - tile.height)
    boxes: NDArray[Any] = shapely.box(left, bottom, right, top)
    return boxes


def dissolve(grid: CellGrid, codes: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Regions of cells with one code that touch along an edge, as polygons cut to the tile.

    Args:
        grid: places the cells.
        codes: uint8 (rows, columns); 0 belongs to no region.

    Returns:
        The polygons, and int32 (rows, columns): the index of the cell's polygon, -1 for none.
        All corners lie on corners of cells, and neighbours share theirs: the polygons are a
        coverage, without gaps, overlaps or slivers.
    """
    owner, _ = label_regions(codes)
    traced = trace_regions(owner)
    polygons = traced.polygons(place_corners(grid, traced.corners))
    return polygons, owner


def label_regions(codes: NDArray[np.uint8]) -> tuple[NDArray[np.int32], int]:
    """int32 (rows, columns): the region of each cell, -1 for none (code 0); and their number.

    A region is cells of one code that touch along an edge; those of the lowest code come first.
    """
    owner = np.full(codes.shape, -1, np.int32)
    count = 0
    for code in np.unique(codes[codes != 0]):
        regions, found = label(codes == code)  # cells that touch along an edge
        np.copyto(owner, regions + (count - 1), where=regions > 0)
        count += found
    return owner, count


@dataclass(frozen=True)
class Outlines:
    """Regions of a raster as rings of corners.

    Attributes:
        corners: (column, row) of all rings one after another, unclosed.
        of_ring: the ring of each corner.
        of_polygon: the polygon of each ring; its outer ring comes first.
        owners: the region of each polygon, ascending.
    """

    corners: NDArray[np.intp]
    of_ring: NDArray[np.intp]
    of_polygon: NDArray[np.intp]
    owners: NDArray[np.intp]

    def polygons(self, placed: NDArray[np.float64]) -> NDArray[Any]:
        """The polygons, with ``placed`` (x, y) for ``corners``."""
        if not len(self.owners):
            return np.empty(0, dtype=object)
        closed = shapely.linearrings(placed, indices=self.of_ring)
        polygons: NDArray[Any] = shapely.polygons(closed, indices=self.of_polygon)
        return polygons


def trace_regions(owner: NDArray[np.int32], around: NDArray[np.int32] | None = None) -> Outlines:
    """Regions of equal ``owner`` that touch along an edge; -1 belongs to none.

    Neighbours share their corners. ``around`` is ``owner`` with one row or column more on each
    side, where the raster is a part of a larger one: corners of the regions beyond are shared too.
    Only whether cells that touch are equal counts, so codes will do.
    """
    shapes = rasterio.features.shapes(owner, mask=owner >= 0, connectivity=4)
    outlines = sorted((int(index), shape["coordinates"]) for shape, index in shapes)
    rings = [np.asarray(ring, np.intp) for _, outline in outlines for ring in outline]
    owners = np.array([index for index, _ in outlines], np.intp)
    of_polygon = np.repeat(np.arange(len(owners)), [len(outline) for _, outline in outlines])
    if not rings:
        return Outlines(np.zeros((0, 2), np.intp), np.zeros(0, np.intp), of_polygon, owners)
    nodes = corner_nodes(np.pad(owner, 1, constant_values=-1))
    if around is not None:
        nodes |= corner_nodes(around)
    corners, of_ring = _with_nodes(rings, nodes)
    return Outlines(corners, of_ring, of_polygon, owners)


def corner_nodes(around: NDArray[Any]) -> NDArray[np.bool_]:
    """Corners of cells at which the four cells around do not make a straight line, or nothing.

    Args:
        around: (rows + 2, columns + 2): the cells with those around them.

    Returns:
        bool (rows + 1, columns + 1).
    """
    north_west, north_east = around[:-1, :-1], around[:-1, 1:]
    south_west, south_east = around[1:, :-1], around[1:, 1:]
    flat = (north_west == north_east) & (south_west == south_east)
    upright = (north_west == south_west) & (north_east == south_east)
    return np.asarray(~(flat | upright), np.bool_)


def _with_nodes(
    rings: Sequence[NDArray[np.intp]], nodes: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rings' corners, (column, row), and of the neighbours' those that lie on them.

    Where a neighbour has a corner in the middle of a side, the side gets it too: projected into
    another system, both are then drawn along the same line, and no sliver opens between them.

    Returns:
        Corners of all rings one after another, unclosed, and the ring each belongs to.
    """
    of_ring = np.repeat(np.arange(len(rings)), [len(ring) - 1 for ring in rings])
    start = np.concatenate([ring[:-1] for ring in rings])
    side = np.concatenate([np.diff(ring, axis=0) for ring in rings])
    length = np.abs(side).max(axis=1)
    of_side = np.repeat(np.arange(len(side)), length)
    along = np.arange(len(of_side)) - np.repeat(np.cumsum(length) - length, length)
    points = start[of_side] + np.sign(side)[of_side] * along[:, None]
    kept = nodes[points[:, 1], points[:, 0]]
    return points[kept], of_ring[of_side][kept]


def place_corners(grid: CellGrid, cells: NDArray[np.intp]) -> NDArray[np.float64]:
    """(column, row) corners → projected (x, y), those beyond the tile moved to its edge."""
    tile = grid.tile
    x = np.minimum(cells[:, 0] * grid.stride, tile.width) + tile.left
    y = tile.top - np.minimum(cells[:, 1] * grid.stride, tile.height)
    return np.column_stack([x, y])
