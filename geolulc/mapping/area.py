"""The area of interest: read, brought to the scene's CRS, turned into cells, windows or pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geolulc.errors import ParameterError
from geolulc.grid import Extent, Grid, TileGrid
from geolulc.mapping.windows import WindowGrid
from geolulc.outputs.polygons import mask_inside
from geolulc.polygons.area import read_area
from geolulc.polygons.placement import Placement


def select_cells(grid: Grid, aoi: Path | str) -> NDArray[np.bool_]:
    """Cells of ``grid`` that the area touches: bool (row, column), at least one.

    Args:
        grid: the cells of the map.
        aoi: a vector file (all layers that hold polygons; where none does, all its points and
            lines), or "west,south,east,north" in degrees.

    Raises:
        ParameterError: the file cannot be read, is empty or has no CRS; the area lies outside.
    """
    area = _area_on(grid.extent, aoi)
    x, y = grid.edges()
    boxes = shapely.box(x[None, :-1], y[1:, None], x[None, 1:], y[:-1, None])
    return _touched(area, boxes)


def area_digest(aoi: Path | str) -> str:
    """SHA-256 of the geometries of an area and of their CRS, in whatever file and order they are.

    Raises:
        ParameterError: as ``select_cells``, of the file.
    """
    parts = []
    for layer in read_area(aoi):
        known = layer[~(layer.isna() | layer.is_empty)]
        place = layer.crs.to_string().encode()
        parts += [place + shape for shape in known.normalize().to_wkb()]
    return hashlib.sha256(b"".join(sorted(parts))).hexdigest()


@dataclass(frozen=True)
class Area:
    """The part of a tile that a map shows: ``shape``, or all of it.

    Attributes:
        tile: the ground.
        shape: in the tile's CRS; None for the whole tile.
    """

    tile: TileGrid
    shape: BaseGeometry | None = None

    @classmethod
    def of(cls, tile: TileGrid, aoi: Path | str | None) -> Area:
        """``ParameterError`` where ``aoi`` cannot be read or lies outside the tile."""
        return cls(tile, None if aoi is None else _area_on(tile, aoi))

    def grid(self, resolution: int) -> Grid:
        """Pixels around the area; their edges are edges of the tile's coarsest pixels."""
        tile = self.tile
        if self.shape is None:
            return Grid.over(tile, resolution)
        west, south, east, north = self.shape.bounds
        left, right = _aligned(west - tile.left, east - tile.left, tile.width, tile.alignment)
        top, bottom = _aligned(tile.top - north, tile.top - south, tile.height, tile.alignment)
        part = Extent(tile.crs, tile.left + left, tile.top - top, right - left, bottom - top)
        return Grid(part, resolution, tile)

    def select(self, windows: WindowGrid) -> NDArray[np.bool_]:
        """The windows that say something of the area: bool (row, column)."""
        if self.shape is None:
            return np.ones(windows.shape, bool)
        tile = self.tile
        boxes = np.array(
            [
                [_box(tile, windows, row, column) for column in range(windows.shape[1])]
                for row in range(windows.shape[0])
            ]
        )
        # coarsest pixels that lie in the area may reach beyond it
        near: NDArray[np.bool_] = shapely.intersects(self.shape.buffer(2 * tile.alignment), boxes)
        return near

    def mask(self, grid: Grid, first: int, last: int) -> NDArray[np.bool_]:
        """Pixels of rows ``first`` to ``last`` (exclusive) of ``grid`` whose centre lies inside.

        Of points, lines, and areas below a pixel: those that they touch.
        """
        shape = last - first, grid.shape[1]
        if self.shape is None:
            return np.ones(shape, bool)
        return mask_inside(self.shape, grid, first, last)


def _area_on(tile: Extent, aoi: Path | str) -> BaseGeometry:
    """The part of the area that lies on the tile, in its CRS.

    Raises:
        ParameterError: as ``select_cells``.
    """
    layers = read_area(aoi)
    parts = []
    for layer in layers:
        placement = Placement(layer.crs, tile)
        given = layer.geometry.to_numpy()
        parts += [placement.of(part) for part in given[~(layer.isna() | layer.is_empty)]]
    area = shapely.union_all(parts)
    left, bottom, right, top = tile.bounds
    whole = shapely.box(left, bottom, right, top)
    if area.is_empty or not _touched(area, np.array([whole])).any():
        raise _outside(layers, tile, aoi)
    return area


def _touched(area: BaseGeometry, boxes: NDArray[Any]) -> NDArray[np.bool_]:
    shapely.prepare(area)
    # an area that only shares an edge with a cell does not lie in it; a point or line may
    touched: NDArray[np.bool_] = shapely.intersects(area, boxes)
    if area.area > 0:
        touched &= ~shapely.touches(area, boxes)
    return touched


def _outside(layers: Sequence[Any], tile: Extent, aoi: Path | str) -> ParameterError:
    boxes = ", ".join(
        "x {:.6g}..{:.6g}, y {:.6g}..{:.6g} in {}".format(*box[[0, 2, 1, 3]], layer.crs.name)
        for layer in layers[:3]
        for box in [layer.total_bounds]
    )
    left, bottom, right, top = tile.bounds
    return ParameterError(
        f"aoi {aoi}",
        found=f"an area outside the scene: {boxes}",
        expected=f"one that touches x {left:.0f}..{right:.0f}, y {bottom:.0f}..{top:.0f} "
        f"in {tile.crs}",
        remedy="Check its coordinates and CRS, or use the scene it lies in.",
    )


def _aligned(start: float, end: float, extent: int, unit: int) -> tuple[int, int]:
    """Whole pixels of ``unit`` metres around a range, at least one, inside 0..extent."""
    first = min(max(0, int(start // unit) * unit), extent - unit)
    last = min(extent, -int(-end // unit) * unit)
    return first, max(last, first + unit)


def _box(tile: TileGrid, windows: WindowGrid, row: int, column: int) -> BaseGeometry:
    rows, columns = windows.support(row, tile.height), windows.support(column, tile.width)
    return shapely.box(
        tile.left + windows.pixel * columns.start,
        tile.top - windows.pixel * rows.stop,
        tile.left + windows.pixel * columns.stop,
        tile.top - windows.pixel * rows.start,
    )
