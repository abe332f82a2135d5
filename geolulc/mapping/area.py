"""The area of interest: read, brought to the scene's CRS, turned into cells, windows or pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataSourceError
from pyproj.exceptions import ProjError
from shapely.geometry.base import BaseGeometry

from geolulc.errors import ParameterError
from geolulc.grid import ALIGNMENT, Extent, Grid, TileGrid
from geolulc.mapping.windows import WindowGrid
from geolulc.outputs.polygons import mask_inside

#: Straight lines bend in another projection: that many vertices along the longest side follow.
_PIECES = 100


def select_cells(grid: Grid, aoi: Path | str) -> NDArray[np.bool_]:
    """Cells of ``grid`` that the area touches: bool (row, column), at least one.

    Args:
        grid: the cells of the map.
        aoi: a vector file (all its geometries), or "west,south,east,north" in degrees.

    Raises:
        ParameterError: the file cannot be read, is empty or has no CRS; the area lies outside.
    """
    area = _project(_read_area(aoi), grid.extent.crs, aoi)
    x, y = grid.edges()
    boxes = shapely.box(x[None, :-1], y[1:, None], x[None, 1:], y[:-1, None])
    touched = _touched(area, boxes)
    if not touched.any():
        raise _outside(area, grid.extent, aoi)
    return touched


def area_digest(aoi: Path | str) -> str:
    """SHA-256 of the geometries of an area and of their CRS, in whatever file and order they are.

    Raises:
        ParameterError: as ``select_cells``, of the file.
    """
    series = _read_area(aoi)
    parts = sorted(series.normalize().to_wkb())
    return hashlib.sha256(b"".join([series.crs.to_string().encode(), *parts])).hexdigest()


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
        """Pixels around the area; their edges are edges of pixels of 60 m."""
        tile = self.tile
        if self.shape is None:
            return Grid.over(tile, resolution)
        west, south, east, north = self.shape.bounds
        left, right = _aligned(west - tile.left, east - tile.left, tile.width)
        top, bottom = _aligned(tile.top - north, tile.top - south, tile.height)
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
        # pixels of 60 m that lie in the area may reach beyond it
        near: NDArray[np.bool_] = shapely.intersects(self.shape.buffer(2 * ALIGNMENT), boxes)
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
    """The area in the tile's CRS.

    Raises:
        ParameterError: as ``select_cells``.
    """
    area = _project(_read_area(aoi), tile.crs, aoi)
    left, top = tile.left, tile.top
    whole = shapely.box(left, top - tile.height, left + tile.width, top)
    if not _touched(area, np.array([whole])).any():
        raise _outside(area, tile, aoi)
    return shapely.intersection(area, whole)


def _touched(area: BaseGeometry, boxes: NDArray[Any]) -> NDArray[np.bool_]:
    shapely.prepare(area)
    # an area that only shares an edge with a cell does not lie in it; a point or line may
    touched: NDArray[np.bool_] = shapely.intersects(area, boxes)
    if area.area > 0:
        touched &= ~shapely.touches(area, boxes)
    return touched


def _outside(area: BaseGeometry, tile: Extent, aoi: Path | str) -> ParameterError:
    left, bottom, right, top = (round(v) for v in area.bounds)
    return ParameterError(
        f"aoi {aoi}",
        found=f"an area outside the scene: x {left}..{right}, y {bottom}..{top} in {tile.crs}",
        expected=f"one that touches x {tile.left:.0f}..{tile.left + tile.width:.0f}, "
        f"y {tile.top - tile.height:.0f}..{tile.top:.0f}",
        remedy="Check its coordinates and CRS, or use the scene it lies in.",
    )


def _read_area(aoi: Path | str) -> Any:
    """The GeoSeries of a file's geometries, or of a box in degrees."""
    import geopandas  # takes a while: loaded where there is an area

    numbers = _numbers(str(aoi))
    if numbers is not None:
        west, south, east, north = numbers
        if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
            raise ParameterError(
                f"aoi {aoi}",
                found="a box that is empty or not on the globe",
                expected="west,south,east,north in degrees",
                remedy="For other coordinates give a vector file.",
            )
        return geopandas.GeoSeries([shapely.box(*numbers)], crs="EPSG:4326")
    if not Path(aoi).exists():
        raise _unreadable(aoi, "no such file")
    try:
        series = geopandas.read_file(aoi, engine="pyogrio").geometry
    except (DataSourceError, OSError, ValueError, AttributeError) as error:
        raise _unreadable(aoi, error) from error
    series = series[~(series.isna() | series.is_empty)]
    if series.empty:
        raise _unreadable(aoi, "no geometry")
    if series.crs is None:
        raise _unreadable(aoi, "no CRS")
    return series


def _project(series: Any, crs: str, aoi: Path | str) -> BaseGeometry:
    longest = max(np.ptp(series.total_bounds[[0, 2]]), np.ptp(series.total_bounds[[1, 3]]))
    if longest > 0:
        series = series.segmentize(longest / _PIECES)
    try:
        projected = series.to_crs(crs)
        # far from the zone a projection has no coordinates: such parts touch no scene
        projected = projected[np.isfinite(projected.bounds.to_numpy()).all(axis=1)]
        if projected.empty:
            raise ParameterError(
                f"aoi {aoi}",
                found=f"an area outside the scene, too far away for {crs}",
                expected="one that touches the scene",
                remedy="Check its coordinates and CRS, or use the scene it lies in.",
            )
        area = shapely.union_all(shapely.make_valid(projected.to_numpy()))
    except (ProjError, shapely.errors.GEOSException) as error:
        raise _unreadable(aoi, error) from error
    return area


def _numbers(text: str) -> tuple[float, float, float, float] | None:
    parts = text.split(",")
    if len(parts) != 4:
        return None
    try:
        west, south, east, north = (float(part) for part in parts)
    except ValueError:
        return None
    return west, south, east, north


def _unreadable(aoi: Path | str, found: object) -> ParameterError:
    return ParameterError(
        f"aoi {aoi}",
        found=found,
        expected="a vector file with geometries and a CRS, or west,south,east,north in degrees",
        remedy="Check the path; QGIS can save any layer as a GeoPackage.",
    )


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
