"""The area of interest: read, brought to the scene's CRS, turned into cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataSourceError
from pyproj.exceptions import ProjError
from shapely.geometry.base import BaseGeometry

from geolulc.errors import ParameterError
from geolulc.grid import CellGrid, Extent

#: Straight lines bend in another projection: that many vertices along the longest side follow.
_PIECES = 100


def select_cells(grid: CellGrid, aoi: Path | str) -> NDArray[np.bool_]:
    """Cells of ``grid`` that the area touches: bool (row, column), at least one.

    Args:
        grid: the map's grid.
        aoi: a vector file (all its geometries), or "west,south,east,north" in degrees.

    Raises:
        ParameterError: the file cannot be read, is empty or has no CRS; the area lies outside.
    """
    area = _project(_read_area(aoi), grid.tile.crs, aoi)
    rows, columns = grid.shape
    tile = grid.tile
    x = np.minimum(np.arange(columns + 1) * grid.stride, tile.width) + tile.left
    y = tile.top - np.minimum(np.arange(rows + 1) * grid.stride, tile.height)
    boxes = shapely.box(x[None, :-1], y[1:, None], x[None, 1:], y[:-1, None])
    touched = _touched(area, boxes)
    if not touched.any():
        raise _outside(area, tile, aoi)
    return touched


def read_area(tile: Extent, aoi: Path | str) -> BaseGeometry:
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


def _read_area(aoi: Path | str) -> geopandas.GeoSeries:
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


def _project(series: geopandas.GeoSeries, crs: str, aoi: Path | str) -> BaseGeometry:
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
