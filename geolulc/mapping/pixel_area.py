"""The area of interest at pixel precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geolulc.grid import ALIGNMENT, TileGrid
from geolulc.mapping.area import read_area
from geolulc.mapping.pixel_windows import WindowGrid
from geolulc.pixel_map import PixelGrid


@dataclass(frozen=True)
class PixelArea:
    """The part of a tile that a map shows: ``shape``, or all of it.

    Attributes:
        tile: the ground.
        shape: in the tile's CRS; None for the whole tile.
    """

    tile: TileGrid
    shape: BaseGeometry | None = None

    @classmethod
    def of(cls, tile: TileGrid, aoi: Path | str | None) -> PixelArea:
        """``ParameterError`` where ``aoi`` cannot be read or lies outside the tile."""
        return cls(tile, None if aoi is None else read_area(tile, aoi))

    def grid(self, resolution: int) -> PixelGrid:
        """Pixels around the area; their edges are edges of pixels of 60 m."""
        tile = self.tile
        if self.shape is None:
            return PixelGrid.of_tile(tile, resolution)
        west, south, east, north = self.shape.bounds
        left, right = _aligned(west - tile.left, east - tile.left, tile.width)
        top, bottom = _aligned(tile.top - north, tile.top - south, tile.height)
        return PixelGrid(tile, resolution, top, left, bottom - top, right - left)

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
        # pixels of 60 m that lie in the area may reach beyond it
        near: NDArray[np.bool_] = shapely.intersects(self.shape.buffer(2 * ALIGNMENT), boxes)
        return near

    def mask(self, grid: PixelGrid, first: int, last: int) -> NDArray[np.bool_]:
        """Pixels of rows ``first`` to ``last`` (exclusive) of ``grid`` whose centre lies inside.

        Of points, lines, and areas below a pixel: those that they touch.
        """
        shape = last - first, grid.shape[1]
        if self.shape is None:
            return np.ones(shape, bool)
        mask: NDArray[np.bool_] = rasterio.features.geometry_mask(
            [self.shape],
            shape,
            grid.transform * grid.transform.translation(0, first),
            all_touched=self.shape.area < grid.resolution**2,
            invert=True,
        )
        return mask


def _aligned(start: float, end: float, extent: int) -> tuple[int, int]:
    """Whole pixels of 60 m around a range, at least one, inside 0..extent."""
    first = min(max(0, int(start // ALIGNMENT) * ALIGNMENT), extent - ALIGNMENT)
    last = min(extent, -int(-end // ALIGNMENT) * ALIGNMENT)
    return first, max(last, first + ALIGNMENT)


def _box(tile: TileGrid, windows: WindowGrid, row: int, column: int) -> BaseGeometry:
    rows, columns = windows.support(row, tile.height), windows.support(column, tile.width)
    return shapely.box(
        tile.left + 10 * columns.start,
        tile.top - 10 * rows.stop,
        tile.left + 10 * columns.stop,
        tile.top - 10 * rows.start,
    )
