"""Users' polygons on the ground of a map, and their areas on the ellipsoid."""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer

from geolulc.errors import ParameterError
from geolulc.grid import Extent
from geolulc.maps.areas import SQUARE_METRES_PER_HECTARE

#: Straight edges of zones are cut into this many parts across the map before they are projected:
#: 110 m for a Sentinel-2 tile, so a projected edge is off by less than a millimetre.
_PARTS_ACROSS: Final = 1000


class Placement:
    """Brings zones of one CRS onto an extent."""

    def __init__(self, crs: Any, extent: Extent) -> None:
        self._extent = shapely.box(*extent.bounds)
        self._transformer = Transformer.from_crs(crs, extent.crs, always_xy=True)
        geographic = CRS.from_user_input(crs).is_geographic
        self._near = _neighbourhood(self._transformer, extent, geographic)
        west, south, east, north = self._near.bounds
        # on both sides of the 180th meridian the box is as wide as the world
        across = north - south if self._near.geom_type == "MultiPolygon" else east - west
        self._step = max(across, north - south) / _PARTS_ACROSS

    def of(self, zone: Any) -> Any:
        """The part of a zone that lies on the extent, as a polygon in the extent's CRS."""
        if zone is None or zone.is_empty:
            return shapely.Polygon()
        # cut first: far from its zone a transverse Mercator projection has no values
        part = polygons_of(shapely.intersection(polygons_of(shapely.make_valid(zone)), self._near))
        if part.is_empty:
            return part
        fine = shapely.segmentize(part, self._step)
        projected = _transformed(fine, self._transformer)
        return polygons_of(shapely.intersection(shapely.make_valid(projected), self._extent))


def polygons_of(geometry: Any) -> Any:
    """The polygons of a geometry; lines and points, which have no area, are left out."""
    parts = shapely.get_parts(geometry)
    if any(shapely.get_type_id(parts) > 3):
        parts = shapely.get_parts(parts)
    polygons = parts[shapely.get_type_id(parts) == 3]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(list(polygons))


def zone_areas(zones: Any) -> NDArray[np.float64]:
    """Hectares of a GeoDataFrame's zones on their ellipsoid (Karney 2013, PROJ's geodesics)."""
    crs = CRS.from_user_input(zones.crs)
    ellipsoid = crs.ellipsoid
    geod = (
        Geod(ellps="WGS84")
        if ellipsoid is None
        else Geod(a=ellipsoid.semi_major_metre, b=ellipsoid.semi_minor_metre)
    )
    step = 0.01 if crs.is_geographic else 1000.0
    geographic = crs.geodetic_crs or CRS.from_epsg(4326)
    transformer = Transformer.from_crs(crs, geographic, always_xy=True)
    areas = np.zeros(len(zones))
    for i, zone in enumerate(zones.geometry):
        if zone is None or zone.is_empty:
            continue
        fine = shapely.segmentize(polygons_of(shapely.make_valid(zone)), step)
        placed = _transformed(fine, transformer)
        areas[i] = sum(
            abs(geod.geometry_area_perimeter(shapely.geometry.polygon.orient(part))[0])
            for part in shapely.get_parts(placed)
        )
    return areas / SQUARE_METRES_PER_HECTARE


def require_polygons(zones: Any) -> None:
    """``ParameterError`` unless ``zones`` are polygons with a coordinate reference system."""
    if zones.crs is None:
        raise ParameterError(
            "zones",
            found="no coordinate reference system",
            expected="zones that say where they are",
            remedy="Set the CRS of the file (in QGIS: Layer, Set CRS) and save it.",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kinds = {str(k) for k in zones.geom_type.dropna().unique()}
    wrong = kinds - {"Polygon", "MultiPolygon", "GeometryCollection"}
    if wrong:
        raise ParameterError(
            "zones",
            found=f"geometries of type {', '.join(sorted(wrong))}",
            expected="polygons",
            remedy="Give a layer of polygons; buffer points or lines first.",
        )


def _transformed(geometry: Any, transformer: Transformer) -> Any:
    return shapely.transform(
        geometry, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))
    )


def _neighbourhood(transformer: Transformer, extent: Extent, geographic: bool) -> Any:
    """A box around ``extent`` in the zones' CRS; two boxes across the 180th meridian."""
    west, south, east, north = transformer.transform_bounds(
        *extent.bounds, densify_pts=51, direction="INVERSE"
    )
    if geographic and west > east:
        margin = 0.05 * (360 - west + east)
        return shapely.MultiPolygon(
            [
                shapely.box(west - margin, south - margin, 180, north + margin),
                shapely.box(-180, south - margin, east + margin, north + margin),
            ]
        )
    margin = 0.05 * max(east - west, north - south)
    return shapely.box(west - margin, south - margin, east + margin, north + margin)
