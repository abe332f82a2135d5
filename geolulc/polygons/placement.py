"""Users' polygons on the ground of a map, and their areas on the ellipsoid."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from geolulc.errors import ParameterError
from geolulc.grid import Extent
from geolulc.maps.areas import SQUARE_METRES_PER_HECTARE
from geolulc.polygons.checks import POLYGON, unit_of

#: Straight edges are cut into this many parts across the map before they are projected: 110 m
#: for a Sentinel-2 tile, so a projected edge is off by less than a millimetre.
_PARTS_ACROSS: Final = 1000
#: The same before areas are measured, but no finer than this across a zone: that of the world
#: has 100,000 corners then.
_DEGREES, _METRES, _MOST_PARTS = 0.01, 1000.0, 50_000
#: Semi-major and semi-minor axis in metres, for a CRS that states no ellipsoid.
_WGS84: Final = 6378137.0, 6356752.314245179


class Placement:
    """Brings geometries of one CRS onto an extent.

    Raises:
        ParameterError: the CRS cannot be brought to that of the extent.
    """

    def __init__(self, crs: Any, extent: Extent) -> None:
        crs = CRS.from_user_input(crs)
        self._turn = full_turn(crs)
        self._extent = shapely.box(*extent.bounds)
        try:
            self._transformer = Transformer.from_crs(crs, extent.crs, always_xy=True)
            self._near = _neighbourhood(crs, self._transformer, extent)
        except ProjError as error:
            raise ParameterError(
                f"CRS {crs.name}",
                found=error,
                expected=f"one that can be brought to {extent.crs}",
                remedy="Save the file in longitude and latitude (EPSG:4326).",
            ) from error
        boxes = shapely.bounds(shapely.get_parts(self._near))
        # on both sides of the 180th meridian each of two boxes counts
        self._step = float((boxes[:, 2:] - boxes[:, :2]).max(initial=0)) / _PARTS_ACROSS

    def near(self, geometries: NDArray[Any]) -> NDArray[np.intp]:
        """Positions of the geometries, none of them missing, that may lie on the extent."""
        boxes = shapely.bounds(geometries)
        found = shapely.intersects(self._near, shapely.box(*boxes.T))
        if self._turn is not None:  # longitudes that are wrapped
            found |= np.abs(boxes[:, ::2]).max(axis=1) > self._turn / 2
        return np.flatnonzero(found)

    def polygons(self, zone: Any) -> Any:
        """The part of a zone that lies on the extent, as a polygon in the extent's CRS."""
        if zone is None or zone.is_empty:
            return shapely.Polygon()
        return polygons_of(self._placed(polygons_of(shapely.make_valid(zone))))

    def of(self, geometry: Any) -> Any:
        """The part of a geometry of any type that lies on the extent, in the extent's CRS."""
        return self._placed(shapely.make_valid(geometry))

    def _placed(self, valid: Any) -> Any:
        # cut first: far from its zone a transverse Mercator projection has no values
        part = shapely.intersection(wrap(valid, self._turn), self._near)
        if part.is_empty:
            return part
        projected = _transformed(shapely.segmentize(part, self._step), self._transformer)
        if not np.isfinite(shapely.get_coordinates(projected)).all():
            parts = shapely.get_parts(projected)
            finite = [np.isfinite(shapely.get_coordinates(part)).all() for part in parts]
            projected = shapely.union_all(shapely.make_valid(parts[finite]))
        return shapely.intersection(shapely.make_valid(projected), self._extent)


def polygons_of(geometry: Any) -> Any:
    """The polygons of a geometry; lines and points, which have no area, are left out."""
    parts = shapely.get_parts(geometry)
    if any(shapely.get_type_id(parts) > POLYGON):
        parts = shapely.get_parts(parts)
    polygons = parts[shapely.get_type_id(parts) == POLYGON]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(list(polygons))


def full_turn(crs: Any) -> float | None:
    """360 degrees in units of a geographic CRS; None of another."""
    return 2 * np.pi / unit_of(crs) if crs.is_geographic else None


def wrap(geometry: Any, turn: float | None) -> Any:
    """A valid geometry with longitudes from -360 to 360 degrees, between -180 and 180 degrees.

    ``turn`` is ``full_turn`` of its CRS: without one, it is the geometry itself.
    """
    if turn is None or geometry.is_empty:
        return geometry
    west, _, east, _ = geometry.bounds
    if -turn / 2 <= west and east <= turn / 2:
        return geometry
    parts = []
    for turns in (-1, 0, 1):
        west, east = (turns - 0.5) * turn, (turns + 0.5) * turn
        part = shapely.intersection(geometry, shapely.box(west, -turn, east, turn))
        parts.append(shapely.transform(part, lambda xy, by=turns * turn: xy - [by, 0]))
    return shapely.union_all([part for part in parts if not part.is_empty])


def zone_areas(zones: Any) -> NDArray[np.float64]:
    """Hectares of a GeoDataFrame's zones on their ellipsoid; edges are straight in their CRS.

    NaN where the CRS has no coordinates for a part of a zone.
    """
    crs = CRS.from_user_input(zones.crs)
    geographic = crs.geodetic_crs or CRS.from_epsg(4326)
    transformer = Transformer.from_crs(crs, geographic, always_xy=True)
    unit, ellipsoid = unit_of(geographic), geographic.ellipsoid
    axis, minor = (ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre) if ellipsoid else _WGS84
    squared = 1 - (minor / axis) ** 2
    turn = full_turn(crs)
    step = _METRES / unit_of(crs) if turn is None else turn * _DEGREES / 360
    areas = np.zeros(len(zones))
    for i, zone in enumerate(zones.geometry):
        if zone is None or zone.is_empty:
            continue
        whole = polygons_of(wrap(shapely.make_valid(zone), turn))
        if whole.is_empty:
            continue
        west, south, east, north = whole.bounds
        across = max(east - west, north - south)
        fine = shapely.segmentize(whole, max(step, across / _MOST_PARTS))
        placed = _transformed(fine, transformer)
        areas[i] = sum(
            _ring_area(part.exterior, unit, axis, squared)
            - sum(_ring_area(hole, unit, axis, squared) for hole in part.interiors)
            for part in shapely.get_parts(placed)
        )
    return areas / SQUARE_METRES_PER_HECTARE


def _ring_area(ring: Any, unit: float, axis: float, squared: float) -> float:
    """Square metres inside a ring of longitudes and latitudes: the integral of q dλ a² / 2.

    q is that of the authalic latitude (Snyder 1987, "Map Projections: A Working Manual", eq.
    3-12), so the area is exact between meridians and parallels, the whole world included. A ring
    may run across the 180th meridian, or around a pole, which lies inside then.

    Args:
        ring: the ring.
        unit: radians in a unit of its coordinates.
        axis: semi-major axis of the ellipsoid in metres.
        squared: the square of its eccentricity.
    """
    radians = shapely.get_coordinates(ring) * unit
    if not np.isfinite(radians).all():
        return np.nan
    longitude = radians[:, 0]
    if np.ptp(longitude) > np.pi:
        longitude = np.unwrap(longitude)
    height = _authalic(np.sin(radians[:, 1]), squared)
    turned = longitude[-1] - longitude[0]
    if abs(turned) < np.pi:
        height = height - height[0]
    else:
        height = height - _authalic(np.sign(radians[:, 1].sum()), squared)
    return float(abs(np.diff(longitude) @ (height[:-1] + height[1:]))) * axis**2 / 4


def _authalic(sine: Any, squared: float) -> Any:
    """q of the sine of a latitude, on an ellipsoid of so much eccentricity, squared."""
    e = np.sqrt(squared)
    if e == 0:
        return 2 * sine
    return (1 - squared) * (sine / (1 - squared * sine**2) + np.arctanh(e * sine) / e)


def _transformed(geometry: Any, transformer: Transformer) -> Any:
    return shapely.transform(
        geometry, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))
    )


def _neighbourhood(crs: CRS, transformer: Transformer, extent: Extent) -> Any:
    """A box around ``extent`` in the geometries' CRS; two boxes across the 180th meridian."""
    degrees = Transformer.from_crs(extent.crs, crs.geodetic_crs or 4326, always_xy=True)
    west, south, east, north = degrees.transform_bounds(*extent.bounds, densify_pts=51)
    half = np.pi / unit_of(crs.geodetic_crs or CRS.from_epsg(4326))
    if west > east:
        margin = 0.05 * (2 * half - west + east)
        spans = [
            (west - margin, south - margin, half, north + margin),
            (-half, south - margin, east + margin, north + margin),
        ]
        if not crs.is_geographic:
            there = Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True)
            spans = [there.transform_bounds(*span, densify_pts=51) for span in spans]
    else:
        west, south, east, north = transformer.transform_bounds(
            *extent.bounds, densify_pts=51, direction="INVERSE"
        )
        margin = 0.05 * max(east - west, north - south)
        spans = [(west - margin, south - margin, east + margin, north + margin)]
    found = [shapely.box(*span) for span in spans if np.isfinite(span).all()]
    return shapely.union_all(found)  # empty where this CRS has no coordinates
