from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pandas
import pytest
import shapely
from made_map import TILE, made_map
from pyproj import Geod, Transformer
from shapely.geometry import MultiPolygon, Point, Polygon, box

from geolulc.errors import OutputError, ParameterError
from geolulc.grid import TileGrid
from geolulc.landcover_map import LandCoverMap
from geolulc.outputs import summarize_map, summarize_zones, write_map
from geolulc.outputs.areas import cell_areas
from geolulc.outputs.cells import dominant_index, mapped_cells
from geolulc.outputs.zone_files import read_zones

LEFT, TOP = TILE.left, TILE.top


def zones_of(*geometries: object, crs: object = TILE.crs) -> geopandas.GeoDataFrame:
    names = [f"zone {i}" for i in range(len(geometries))]
    return geopandas.GeoDataFrame({"district": names}, geometry=list(geometries), crs=crs)


def star(x: float, y: float, size: float) -> Polygon:
    angles = np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2, 0.4, 1.0) * size
    return Polygon(np.column_stack([x + radius * np.sin(angles), y + radius * np.cos(angles)]))


def independent(made: LandCoverMap, zone: Polygon) -> tuple[np.ndarray, np.ndarray]:
    """Class areas and mean probabilities, cell by cell: shapely's intersections measured on the
    ellipsoid by geodesics, without exactextract and without the scale factor."""
    geod = Geod(ellps="WGS84")
    to_degrees = Transformer.from_crs(made.grid.tile.crs, 4326, always_xy=True)
    areas = np.zeros(len(made.classes))
    weighted = np.zeros(len(made.classes))
    dominant = dominant_index(made)
    for row, column in zip(*np.nonzero(mapped_cells(made)), strict=True):
        part = shapely.segmentize(box(*made.grid.bounds(row, column)).intersection(zone), 50)
        degrees = shapely.transform(
            part, lambda xy: np.column_stack(to_degrees.transform(xy[:, 0], xy[:, 1]))
        )
        hectares = abs(geod.geometry_area_perimeter(degrees)[0]) / 1e4
        areas[dominant[row, column]] += hectares
        weighted += hectares * made.probabilities[:, row, column]
    return areas, weighted / areas.sum()


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326", "EPSG:3035", "EPSG:3857"])
def test_zones_agree_with_an_independent_computation(crs: str) -> None:
    made = made_map(seed=5)
    zone = star(LEFT + 3300, TOP - 2500, 2400)
    fine = zones_of(zone.segmentize(20)).to_crs(crs)
    row = summarize_zones(made, fine).iloc[0]
    areas, means = independent(made, zone)
    found = row[[c for c in row.index if c.startswith("ha_")]].to_numpy(float)
    np.testing.assert_allclose(found, areas, rtol=1e-5, atol=1e-3)
    found = row[[c for c in row.index if c.startswith("p_")]].to_numpy(float)
    np.testing.assert_allclose(found, means, rtol=1e-5)
    assert row["mapped_ha"] == pytest.approx(areas.sum(), rel=1e-6)
    assert row["dominant"] == made.classes[areas.argmax()]


def test_zones_that_divide_the_tile_hold_all_of_it() -> None:
    made = made_map(seed=1, nodata=0.2)
    pieces = shapely.get_parts(
        shapely.voronoi_polygons(
            shapely.MultiPoint(
                np.random.default_rng(0).uniform(0, 6000, (12, 2)) + np.array([LEFT, TOP - 6000])
            ),
            extend_to=box(LEFT - 1000, TOP - 8000, LEFT + 9000, TOP + 1000),
        )
    )
    found = summarize_zones(made, zones_of(*pieces))
    whole = cell_areas(made.grid)[mapped_cells(made)].sum()
    assert found["mapped_ha"].sum() == pytest.approx(whole, rel=1e-6)
    by_class = found[[c for c in found.columns if c.startswith("ha_")]].sum().to_numpy()
    expected = [cell_areas(made.grid)[dominant_index(made) == i].sum() for i in range(19)]
    np.testing.assert_allclose(by_class, expected, rtol=1e-5, atol=1e-6)


def test_status_is_stated() -> None:
    p = made_map(nodata=0).probabilities.copy()
    p[:, 0, 0] = np.nan
    made = made_map(nodata=0, probabilities=p)
    inside = box(LEFT + 1300, TOP - 2300, LEFT + 2000, TOP - 1300)
    found = summarize_zones(
        made,
        zones_of(
            inside,
            box(LEFT + 100, TOP - 2000, LEFT + 2000, TOP - 100),  # over the nodata cell
            box(LEFT + 100, TOP - 1000, LEFT + 1000, TOP - 100),  # in it
            box(LEFT - 5000, TOP, LEFT, TOP + 5000),  # touches the corner
            None,
            Polygon(),
            MultiPolygon([inside, box(LEFT - 9000, TOP, LEFT - 8000, TOP + 900)]),
        ),
    )
    assert found["status"].tolist() == [
        "mapped", "partly mapped", "no data", "outside", "empty", "empty", "partly mapped",
    ]  # fmt: skip
    assert found["mapped_ha"].iloc[2:6].tolist() == [0, 0, 0, 0]
    assert found["p_urban"].iloc[2:6].isna().all()
    assert found["dominant"].iloc[2:6].isna().all()
    assert found["mapped_ha"].iloc[6] == pytest.approx(found["mapped_ha"].iloc[0])
    assert found["district"].tolist() == [f"zone {i}" for i in range(7)]


def test_overseas_parts_do_not_spoil_a_zone() -> None:
    made = made_map(nodata=0)
    around = geopandas.GeoSeries([box(LEFT, TOP - 5400, LEFT + 6600, TOP)], crs=TILE.crs)
    west, south, east, north = around.to_crs(4326).total_bounds
    country = MultiPolygon([box(west - 3, south - 3, east + 3, north + 3), box(164, -23, 168, -19)])
    found = summarize_zones(made, zones_of(country, crs=4326)).iloc[0]
    assert found["mapped_ha"] == pytest.approx(cell_areas(made.grid).sum(), rel=1e-6)
    assert found["status"] == "partly mapped"


def test_a_tile_on_the_180th_meridian() -> None:
    tile = TileGrid("EPSG:32701", 169_980.0, 8_100_040.0, 6_600, 5_400)  # its left edge at 179.9 E
    made = made_map(tile, nodata=0)
    centre = Transformer.from_crs(tile.crs, 4326, always_xy=True).transform(173_000, 8_097_000)
    east = box(-180, centre[1] - 1, centre[0] + 1 if centre[0] < 0 else -179, centre[1] + 1)
    west = box(179, centre[1] - 1, 180, centre[1] + 1)
    found = summarize_zones(made, zones_of(MultiPolygon([west, east]), crs=4326)).iloc[0]
    assert found["mapped_ha"] == pytest.approx(cell_areas(made.grid).sum(), rel=1e-6)


def test_a_zones_own_columns_are_kept() -> None:
    zones = zones_of(box(LEFT, TOP - 500, LEFT + 500, TOP))
    zones["status"] = "mine"
    found = summarize_zones(made_map(nodata=0), zones)
    assert found["status_zone"].tolist() == ["mine"]
    assert found["status"].tolist() == ["mapped"]


def test_an_invalid_zone_is_repaired() -> None:
    bow_tie = Polygon([(0, 0), (1000, 1000), (1000, 0), (0, 1000)])
    zone = shapely.transform(bow_tie, lambda xy: xy + np.array([LEFT + 1000, TOP - 3000]))
    found = summarize_zones(made_map(nodata=0), zones_of(zone)).iloc[0]
    assert found["mapped_ha"] == pytest.approx(50 / 0.9997**2, rel=1e-3)


def test_no_zones_at_all() -> None:
    found = summarize_zones(made_map(), zones_of())
    assert len(found) == 0
    assert "ha_urban" in found.columns


def test_zones_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"no coordinate reference system"):
        summarize_zones(made_map(), zones_of(box(0, 0, 1, 1), crs=None))
    with pytest.raises(ParameterError, match=r"type Point; expected polygons"):
        summarize_zones(made_map(), zones_of(Point(0, 0)))
    with pytest.raises(ParameterError, match=r"nowhere\.gpkg"):
        read_zones(tmp_path / "nowhere.gpkg")
    (tmp_path / "text.gpkg").write_text("not a database")
    with pytest.raises(ParameterError, match=r"text\.gpkg"):
        read_zones(tmp_path / "text.gpkg")


def test_a_file_of_several_layers_needs_a_name(tmp_path: Path) -> None:
    path = tmp_path / "two.gpkg"
    zones_of(box(0, 0, 1, 1)).to_file(path, layer="districts")
    zones_of(box(0, 0, 1, 1), box(1, 1, 2, 2)).to_file(path, layer="fields", mode="a")
    with pytest.raises(ParameterError, match=r"layers districts, fields.*--layer"):
        read_zones(path)
    with pytest.raises(ParameterError, match=r"a layer 'x'"):
        read_zones(path, "x")
    assert len(read_zones(path, "fields")) == 2


@pytest.mark.parametrize("ending", [".gpkg", ".csv", ".parquet", ".fgb"])
def test_summarize_map_writes_what_it_returns(tmp_path: Path, ending: str) -> None:
    made = made_map(nodata=0)
    write_map(made, tmp_path / "map.tif", outputs=["probabilities"])
    zones_of(box(LEFT, TOP - 900, LEFT + 900, TOP), star(LEFT + 3000, TOP - 3000, 1000)).to_file(
        tmp_path / "zones.geojson"
    )
    out = tmp_path / f"out{ending}"
    found = summarize_map(tmp_path / "map.tif", tmp_path / "zones.geojson", out)
    if ending == ".csv":
        read = pandas.read_csv(out)
    elif ending == ".parquet":
        read = geopandas.read_parquet(out)
    else:
        read = geopandas.read_file(out)
    if ending != ".csv":
        assert read.crs == found.crs
        assert read.geometry.geom_equals_exact(found.geometry, 1e-9).all() or ending != ".parquet"
    for column in ("district", "status", "mapped_ha", "ha_urban", "p_urban"):
        expected = found[column].tolist()
        assert sorted(read[column].tolist(), key=str) == sorted(expected, key=str)
    with pytest.raises(OutputError, match="exists"):
        summarize_map(tmp_path / "map.tif", tmp_path / "zones.geojson", out)


def test_summarize_map_refuses_other_endings_and_other_rasters(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"'\.xlsx'"):
        summarize_map(tmp_path / "map.tif", tmp_path / "z.gpkg", tmp_path / "out.xlsx")
    write_map(made_map(), tmp_path / "map.tif", outputs=["classes"])
    with pytest.raises(OutputError, match=r"geolulc's classes raster"):
        summarize_map(tmp_path / "map_classes.tif", tmp_path / "z.gpkg")
