"""Cells as polygons, and the outlines of regions of cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray

from geolulc.grid import Grid


def cell_polygons(grid: Grid, rows: slice, columns: slice) -> NDArray[Any]:
    """A box for each cell of a window of ``grid``, row by row, cut to its extent."""
    x, y = grid.edges(rows, columns)
    left, top = np.meshgrid(x[:-1], y[:-1])
    right, bottom = np.meshgrid(x[1:], y[1:])
    boxes: NDArray[Any] = shapely.box(left.ravel(), bottom.ravel(), right.ravel(), top.ravel())
    return boxes


def trace_regions(
    owner: NDArray[np.int32],
    nodes: NDArray[np.bool_],
    place: Callable[[NDArray[np.int32]], NDArray[np.float64]],
) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Polygons of the regions of equal ``owner`` that touch along an edge; -1 belongs to none.

    Args:
        owner: int32 (rows, columns).
        nodes: bool (rows + 1, columns + 1): the corners of cells that become corners of polygons,
            of all those on which they lie: neighbours share their corners.
        place: corners of cells (column, row) → projected (x, y).

    Returns:
        The region of each polygon, ascending, and the polygons.
    """
    shapes = rasterio.features.shapes(owner, mask=owner >= 0, connectivity=4)
    # as arrays at once: Python's tuples of corners take ten times the memory
    outlines = sorted(
        ((int(i), [np.array(r, np.int32) for r in shape["coordinates"]]) for shape, i in shapes),
        key=itemgetter(0),
    )
    owners = np.array([index for index, _ in outlines], np.intp)
    if not outlines:
        return owners, np.empty(0, dtype=object)
    rings = [ring for _, outline in outlines for ring in outline]
    of_polygon = np.repeat(np.arange(len(owners)), [len(outline) for _, outline in outlines])
    corners, of_ring = _with_nodes(rings, nodes)
    closed = shapely.linearrings(place(corners), indices=of_ring)
    return owners, np.asarray(shapely.polygons(closed, indices=of_polygon), dtype=object)


def corner_nodes(around: NDArray[Any]) -> NDArray[np.bool_]:
    """Corners of cells at which the four cells around do not make a straight line, or nothing.

    Args:
        around: (rows + 2, columns + 2): the cells with those around them. Only whether cells that
            touch are equal counts, so their codes or their regions will do.

    Returns:
        bool (rows + 1, columns + 1).
    """
    north_west, north_east = around[:-1, :-1], around[:-1, 1:]
    south_west, south_east = around[1:, :-1], around[1:, 1:]
    flat = (north_west == north_east) & (south_west == south_east)
    upright = (north_west == south_west) & (north_east == south_east)
    return np.asarray(~(flat | upright), np.bool_)


def _with_nodes(
    rings: Sequence[NDArray[np.int32]], nodes: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """The rings' corners, (column, row), and the neighbours' corners that lie on their sides.

    Where a neighbour has a corner in the middle of a side, the side gets it too: projected into
    another system, both are then drawn along one line, and no sliver opens between them.

    Returns:
        Corners of all rings one after another, unclosed, and the ring each belongs to.
    """
    of_ring = np.repeat(np.arange(len(rings)), [len(ring) - 1 for ring in rings])
    start = np.concatenate([ring[:-1] for ring in rings])
    side = np.concatenate([np.diff(ring, axis=0) for ring in rings])
    length = np.abs(side).max(axis=1)
    of_side = np.repeat(np.arange(len(side), dtype=np.int32), length)
    along = np.arange(len(of_side), dtype=np.int32)
    along -= np.repeat((np.cumsum(length) - length).astype(np.int32), length)
    points = start[of_side] + np.sign(side)[of_side] * along[:, None]
    kept = nodes[points[:, 1], points[:, 0]]
    return points[kept], of_ring[of_side][kept]


def mask_inside(shape: Any, grid: Grid, first: int, last: int) -> NDArray[np.bool_]:
    """Cells of rows ``first`` to ``last`` (exclusive) whose centre lies in ``shape``.

    Of points, lines, and areas below a cell: those that they touch. ``shape`` is in the grid's CRS.
    """
    mask: NDArray[np.bool_] = rasterio.features.geometry_mask(
        [shape],
        (last - first, grid.shape[1]),
        grid.transform * grid.transform.translation(0, first),
        all_touched=shape.area < grid.cell**2,
        invert=True,
    )
    return mask
