"""Polygons on the ground of a map, and their areas on the globe."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely
from pyproj import Geod
from shapely.geometry import LineString, MultiPolygon, Point, box

from geolulc.errors import ParameterError
from geolulc.grid import Extent
from geolulc.polygons.checks import require_places
from geolulc.polygons.placement import Placement, full_turn, wrap, zone_areas

#: Area of the ellipsoid of WGS 84 in hectares (NIMA TR8350.2: 510,065,621.724 km²).
GLOBE = 51_006_562_172.4
EXTENT = Extent("EPSG:32632", 600_000.0, 5_100_000.0, 6_000, 6_000)
#: Across the 180th meridian, whose x is 179,997 or so.
EAST = Extent("EPSG:32701", 178_000.0, 8_140_000.0, 4_000, 4_000)


def zones(*shapes: object, crs: object = 4326) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(geometry=list(shapes), crs=crs)


@pytest.mark.parametrize(
    ("shape", "share"),
    [
        (box(-180, -90, 180, 90), 1),
        (box(0, -90, 360, 90), 1),
        (box(-180, 0, 180, 90), 1 / 2),
        (box(-90, -90, 90, 90), 1 / 2),
        (box(100, 0, 260, 90), 80 / 360),
        (MultiPolygon([box(-180, -90, -90, 90), box(90, -90, 180, 90)]), 1 / 2),
    ],
)
def test_zones_of_the_world_are_true(shape: object, share: float) -> None:
    assert zone_areas(zones(shape)) == pytest.approx(GLOBE * share, rel=1e-9)


def test_a_small_zone_is_what_geodesics_say() -> None:
    field = shapely.Polygon([(9, 45), (9.01, 45.001), (9.012, 45.01), (9.001, 45.008)])
    expected = abs(Geod(ellps="WGS84").geometry_area_perimeter(field)[0]) / 1e4
    assert zone_areas(zones(field)) == pytest.approx(expected, rel=1e-6)
    hole = field.difference(field.centroid.buffer(0.001, quad_segs=2))
    cut = abs(Geod(ellps="WGS84").geometry_area_perimeter(shapely.geometry.polygon.orient(hole))[0])
    assert zone_areas(zones(hole)) == pytest.approx(cut / 1e4, rel=1e-6)


def test_a_zone_around_a_pole_holds_it() -> None:
    # the true radius of the parallel of 71° S in EPSG:3031, on which the projection is true
    cap = shapely.Point(0, 0).buffer(2_082_760.109, quad_segs=512)
    expected = zone_areas(zones(box(-180, -90, 180, -71)))
    assert zone_areas(zones(cap, crs=3031)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("crs", [3857, 6933, 32660])
def test_areas_of_projected_zones_across_180_degrees(crs: int) -> None:
    small = zones(box(179.5, -17, 179.9, -16))
    assert zone_areas(small.to_crs(crs)) == pytest.approx(zone_areas(small), rel=1e-4)
    if crs == 32660:
        across = zones(box(179.5, -17, 180.5, -16))
        assert zone_areas(across.to_crs(crs)) == pytest.approx(zone_areas(across), rel=1e-3)


@pytest.mark.parametrize("crs", [4326, 4258, 3857, 3035, 32632, 32633, 2154])
def test_the_whole_extent_from_any_crs(crs: int) -> None:
    ground = geopandas.GeoSeries([box(*EXTENT.bounds).buffer(9_000)], crs=EXTENT.crs).to_crs(crs)
    (zone,) = ground.buffer(0) if crs != 4326 and crs != 4258 else ground
    assert Placement(crs, EXTENT).polygons(zone).area == pytest.approx(6_000**2)


@pytest.mark.parametrize(
    "shape",
    [
        box(-180, -90, 180, 90),
        box(-180, -60, 180, 84),
        box(-25, -23, 102, 84),
        box(6, 7, 99, 50),
        box(-351, 40, -340, 50),
        box(0, -90, 360, 90),
    ],
)
def test_areas_larger_than_the_projection(shape: object) -> None:
    assert Placement(4326, EXTENT).polygons(shape).area == pytest.approx(6_000**2)


@pytest.mark.parametrize("crs", [4326, 3857, 32701, 32660])
def test_one_ground_across_180_degrees_however_it_is_written(crs: int) -> None:
    west, east = box(179.99, -16.84, 180, -16.8), box(-180, -16.84, -179.99, -16.8)
    split = zones(west, east).to_crs(crs).geometry
    placement = Placement(crs, EAST)
    areas = [placement.polygons(part).area for part in split]
    whole = shapely.union_all([placement.polygons(part) for part in split]).area
    assert min(areas) > 1e6
    assert sum(areas) == pytest.approx(whole)
    assert placement.polygons(MultiPolygon(list(split))).area == pytest.approx(whole)
    if crs == 4326:
        for shift in (0, -360):
            written = box(179.99 + shift, -16.84, 180.01 + shift, -16.8)
            assert placement.polygons(written).area == pytest.approx(whole)


def test_points_and_lines_are_placed_too() -> None:
    placement = Placement(EXTENT.crs, EXTENT)
    assert placement.of(Point(601_000, 5_099_000)).equals(Point(601_000, 5_099_000))
    line = placement.of(LineString([(590_000, 5_097_000), (610_000, 5_097_000)]))
    assert line.length == pytest.approx(6_000)
    assert placement.polygons(LineString([(590_000, 5_097_000), (610_000, 5_097_000)])).is_empty
    assert placement.of(Point(0, 0)).is_empty


def test_longitudes_are_turned_back() -> None:
    turn = full_turn(zones(box(0, 0, 1, 1)).crs)
    assert turn == pytest.approx(360)
    turned = wrap(box(179, 0, 181, 1), turn)
    assert turned.equals(MultiPolygon([box(179, 0, 180, 1), box(-180, 0, -179, 1)]))
    assert wrap(Point(-190, 3), turn).equals(Point(170, 3))
    assert wrap(box(0, 0, 180, 1), turn).equals(box(0, 0, 180, 1))


def test_a_zone_that_reaches_beyond_its_projection_has_no_area() -> None:
    whole = zones(box(-18e6, -9e6, 18e6, 9e6), crs="ESRI:54009")  # an ellipse is the globe there
    assert np.isnan(zone_areas(whole)).all()


def test_another_body_than_the_earth_is_refused() -> None:
    moon = zones(box(9, 45, 11, 47), crs="+proj=longlat +R=1737400 +no_defs")
    with pytest.raises(ParameterError, match=r"found .*celestial body"):
        Placement(moon.crs, EXTENT)
    with pytest.raises(ParameterError, match=r"zones: found the CRS .*celestial body"):
        require_places(moon, "zones")
