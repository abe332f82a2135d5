from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pytest
import rasterio.features
import shapely
from pyproj import Geod, Transformer
from shapely.geometry import MultiPolygon, Point, Polygon, box
from written_map import KINDS, WrittenMap, write_made

from geolulc.analysis import summarize_map, summarize_zones
from geolulc.analysis.zone_files import read_zones
from geolulc.errors import OutputError, ParameterError
from geolulc.grid import TileGrid
from geolulc.polygons.placement import zone_areas

#: Upper-left corner of all made maps.
CRS, LEFT, TOP = "EPSG:32632", 600_000.0, 5_100_000.0

both_kinds = pytest.mark.parametrize("kind", KINDS)


def zones_of(*geometries: object, crs: object = CRS) -> geopandas.GeoDataFrame:
    names = [f"zone {i}" for i in range(len(geometries))]
    return geopandas.GeoDataFrame({"district": names}, geometry=list(geometries), crs=crs)


def star(x: float, y: float, size: float) -> Polygon:
    angles = np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2, 0.4, 1.0) * size
    return Polygon(np.column_stack([x + radius * np.sin(angles), y + radius * np.cos(angles)]))


def columns(table: Any, prefix: str) -> np.ndarray:
    """The columns of all classes that begin with ``prefix``."""
    names = [c for c in table.columns if c.startswith(prefix)]
    return np.asarray(table[names].to_numpy(float))


def independent(made: WrittenMap, zone: Polygon) -> tuple[np.ndarray, np.ndarray]:
    """Class areas and mean probabilities, cell by cell: shapely's intersections measured on the
    ellipsoid by geodesics, without exactextract and without the scale factor."""
    geod = Geod(ellps="WGS84")
    to_degrees = Transformer.from_crs(made.header.grid.extent.crs, 4326, always_xy=True)
    areas = np.zeros(len(made.header.classes))
    weighted = np.zeros(len(made.header.classes))
    x, y = made.header.grid.edges()
    for row, column in zip(*np.nonzero(made.mapped), strict=True):
        cell = box(x[column], y[row + 1], x[column + 1], y[row])
        part = shapely.segmentize(cell.intersection(zone), 50)
        degrees = shapely.transform(
            part, lambda xy: np.column_stack(to_degrees.transform(xy[:, 0], xy[:, 1]))
        )
        hectares = abs(geod.geometry_area_perimeter(degrees)[0]) / 1e4
        areas[made.index[row, column]] += hectares
        weighted += hectares * made.probabilities[:, row, column]
    return areas, weighted / areas.sum()


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326", "EPSG:3035", "EPSG:3857"])
def test_zones_agree_with_an_independent_computation(tmp_path: Path, crs: str) -> None:
    made = write_made("cells", tmp_path / "map.tif", seed=5)
    zone = star(LEFT + 3300, TOP - 2500, 2400)
    found = summarize_zones(made.path, zones_of(zone.segmentize(20)).to_crs(crs))
    areas, means = independent(made, zone)
    np.testing.assert_allclose(columns(found, "ha_")[0], areas, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(columns(found, "p_")[0], means, rtol=1e-5)
    np.testing.assert_allclose(columns(found, "share_")[0], areas / areas.sum(), atol=1e-5)
    row = found.iloc[0]
    assert row["mapped_ha"] == pytest.approx(areas.sum(), rel=1e-6)
    assert row["dominant"] == made.header.classes[areas.argmax()]


@both_kinds
def test_zones_agree_with_counting_cells(tmp_path: Path, kind: str) -> None:
    # zones whose borders lie on those of cells
    changes: dict[str, Any] = {"stride": 60} if kind == "cells" else {"resolution": 10}
    made = write_made(
        kind, tmp_path / "map.tif", outputs=("confidence",) * (kind == "pixels"), **changes
    )
    (rows, wide), size = made.header.grid.shape, made.header.grid.cell
    boxes = [(0, 0, rows, wide), (40, 50, 41, 51), (7, 30, rows - 20, wide - 65), (3, 0, 4, wide)]
    shapes = [
        box(LEFT + size * b, TOP - size * c, LEFT + size * d, TOP - size * a)
        for a, b, c, d in boxes
    ]
    found = summarize_zones(made.path, zones_of(*shapes))
    confidence = np.nan_to_num(made.probabilities).max(axis=0)
    for i, (a, b, c, d) in enumerate(boxes):
        codes, areas = made.codes[a:c, b:d], made.areas[a:c, b:d]
        row, mapped = found.iloc[i], areas[codes != 0].sum()
        assert row["mapped_ha"] == pytest.approx(mapped, rel=1e-9)
        assert row["ha_urban"] == pytest.approx(areas[codes == 1].sum(), rel=1e-9)
        if mapped:
            assert row["share_urban"] == pytest.approx(row["ha_urban"] / row["mapped_ha"])
            certain = (areas * confidence[a:c, b:d])[codes != 0].sum() / mapped
            assert row["mean_probability"] == pytest.approx(certain, rel=1e-6)


@both_kinds
def test_zones_that_divide_the_tile_hold_all_of_it(tmp_path: Path, kind: str) -> None:
    made = write_made(kind, tmp_path / "map.tif", seed=1)
    pieces = shapely.get_parts(
        shapely.voronoi_polygons(
            shapely.MultiPoint(
                np.random.default_rng(0).uniform(0, 6000, (12, 2)) + np.array([LEFT, TOP - 6000])
            ),
            extend_to=box(LEFT - 1000, TOP - 8000, LEFT + 9000, TOP + 1000),
        )
    )
    found = summarize_zones(made.path, zones_of(*pieces))
    assert found["mapped_ha"].sum() == pytest.approx(made.areas[made.mapped].sum(), rel=1e-6)
    expected = [made.areas[made.index == i].sum() for i in range(19)]
    np.testing.assert_allclose(columns(found, "ha_").sum(axis=0), expected, rtol=1e-5, atol=1e-6)


@both_kinds
def test_sums_do_not_depend_on_windows(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"stride": 60} if kind == "cells" else {"outputs": ("confidence",)}
    made = write_made(kind, tmp_path / "map.tif", **changes)
    shapes = star(LEFT + 3300, TOP - 2500, 2400), box(LEFT - 500, TOP - 9000, LEFT + 7000, TOP + 9)
    whole = summarize_zones(made.path, zones_of(*shapes))
    monkeypatch.setattr("geolulc.analysis.map_file._WINDOW", 128)
    monkeypatch.setattr("geolulc.analysis.map_file._WINDOW_OF_ALL", 16)
    done: list[tuple[int, int]] = []
    found = summarize_zones(made.path, zones_of(*shapes), progress=lambda *at: done.append(at))
    assert len(done) == (42 if kind == "cells" else 9)
    assert done[-1] == (2, 2)
    for prefix in ("ha_", "share_", "mapped_", "mean_", *(("p_",) if kind == "cells" else ())):
        np.testing.assert_allclose(
            columns(found, prefix), columns(whole, prefix), rtol=1e-6, atol=1e-9
        )


def test_a_disc_is_split_by_area(tmp_path: Path) -> None:
    made = write_made("pixels", tmp_path / "map.tif", resolution=10)
    disc = Point(603_000.3, 5_096_000.7).buffer(1_500, quad_segs=64)
    zones = zones_of(disc).to_crs(4326)
    found = summarize_zones(made.path, zones)
    fine = rasterio.features.rasterize(
        [disc],
        (6000, 7200),
        transform=rasterio.Affine(1, 0, LEFT, 0, -1, TOP),
        dtype="uint8",
    )
    areas = made.areas * fine.reshape(600, 10, 720, 10).mean(axis=(1, 3))
    for code, column in ((1, "ha_urban"), (9, "ha_broad_leaved")):
        assert found[column].iloc[0] == pytest.approx(areas[made.codes == code].sum(), rel=2e-3)
    assert found["zone_ha"].iloc[0] == pytest.approx(float(zone_areas(zones)[0]))


@both_kinds
def test_status_is_stated(tmp_path: Path, kind: str) -> None:
    made = write_made(kind, tmp_path / "map.tif", nodata=False, hole=1200)
    inside = box(LEFT + 1300, TOP - 2300, LEFT + 2000, TOP - 1300)
    found = summarize_zones(
        made.path,
        zones_of(
            inside,
            box(LEFT + 100, TOP - 2000, LEFT + 2000, TOP - 100),  # over the nodata cells
            box(LEFT + 100, TOP - 1000, LEFT + 1000, TOP - 100),  # in them
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
    assert found["share_urban"].iloc[2:6].isna().all()
    assert kind == "pixels" or found["p_urban"].iloc[2:6].isna().all()
    assert found["dominant"].iloc[2:6].isna().all()
    assert found["mapped_ha"].iloc[6] == pytest.approx(found["mapped_ha"].iloc[0])
    assert found["district"].tolist() == [f"zone {i}" for i in range(7)]


@both_kinds
def test_overseas_parts_do_not_spoil_a_zone(tmp_path: Path, kind: str) -> None:
    made = write_made(kind, tmp_path / "map.tif", nodata=False)
    around = geopandas.GeoSeries([box(*made.header.grid.extent.bounds)], crs=CRS)
    west, south, east, north = around.to_crs(4326).total_bounds
    country = MultiPolygon([box(west - 3, south - 3, east + 3, north + 3), box(164, -23, 168, -19)])
    found = summarize_zones(made.path, zones_of(country, crs=4326)).iloc[0]
    assert found["mapped_ha"] == pytest.approx(made.areas.sum(), rel=1e-6)
    assert found["status"] == "partly mapped"


@both_kinds
def test_a_tile_on_the_180th_meridian(tmp_path: Path, kind: str) -> None:
    tile = TileGrid("EPSG:32701", 169_980.0, 8_100_040.0, 6_600, 5_400)  # its left edge at 179.9 E
    made = write_made(kind, tmp_path / "map.tif", nodata=False, tile=tile)
    centre = Transformer.from_crs(tile.crs, 4326, always_xy=True).transform(173_000, 8_097_000)
    east = box(-180, centre[1] - 1, centre[0] + 1 if centre[0] < 0 else -179, centre[1] + 1)
    west = box(179, centre[1] - 1, 180, centre[1] + 1)
    found = summarize_zones(made.path, zones_of(MultiPolygon([west, east]), crs=4326)).iloc[0]
    assert found["mapped_ha"] == pytest.approx(made.areas.sum(), rel=1e-6)


@both_kinds
def test_a_zones_own_columns_are_kept(tmp_path: Path, kind: str) -> None:
    made = write_made(kind, tmp_path / "map.tif", nodata=False)
    zones = zones_of(box(LEFT, TOP - 500, LEFT + 500, TOP))
    zones["status"] = "mine"
    found = summarize_zones(made.path, zones)
    assert found["status_zone"].tolist() == ["mine"]
    assert found["status"].tolist() == ["mapped"]
    assert found.attrs["SCENE_TILE"] == made.header.scene["tile"]


@both_kinds
def test_an_invalid_zone_is_repaired(tmp_path: Path, kind: str) -> None:
    made = write_made(kind, tmp_path / "map.tif", nodata=False)
    bow_tie = Polygon([(0, 0), (1000, 1000), (1000, 0), (0, 1000)])
    zone = shapely.transform(bow_tie, lambda xy: xy + np.array([LEFT + 1000, TOP - 3000]))
    found = summarize_zones(made.path, zones_of(zone)).iloc[0]
    assert found["mapped_ha"] == pytest.approx(50 / 0.9997**2, rel=1e-3)


@both_kinds
def test_no_zones_at_all(tmp_path: Path, kind: str) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    found = summarize_zones(made.path, zones_of())
    assert len(found) == 0
    assert "ha_urban" in found.columns


@both_kinds
def test_zones_that_cannot_be_used_are_refused(tmp_path: Path, kind: str) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    with pytest.raises(ParameterError, match=r"found no CRS"):
        summarize_zones(made.path, zones_of(box(0, 0, 1, 1), crs=None))
    with pytest.raises(ParameterError, match=r"1 of 1 geometries of type Point; expected polygons"):
        summarize_zones(made.path, zones_of(Point(0, 0)))


def test_zones_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
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


@both_kinds
@pytest.mark.parametrize("ending", [".gpkg", ".csv", ".parquet", ".fgb"])
def test_summarize_map_writes_what_it_returns(tmp_path: Path, kind: str, ending: str) -> None:
    write_made(kind, tmp_path / "map.tif", nodata=False)
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
    means = ("p_urban",) if kind == "cells" else ()
    for column in ("district", "status", "mapped_ha", "ha_urban", "share_urban", *means):
        expected = found[column].tolist()
        assert sorted(read[column].tolist(), key=str) == sorted(expected, key=str)
    with pytest.raises(OutputError, match="exists"):
        summarize_map(tmp_path / "map.tif", tmp_path / "zones.geojson", out)


@pytest.mark.parametrize(
    ("kind", "other", "main"),
    [("cells", "classes", "probabilities"), ("pixels", "confidence", "classes")],
)
def test_other_endings_and_other_rasters_are_refused(
    tmp_path: Path, kind: str, other: str, main: str
) -> None:
    with pytest.raises(ParameterError, match=r"'\.xlsx'"):
        summarize_map(tmp_path / "map.tif", tmp_path / "z.gpkg", tmp_path / "out.xlsx")
    write_made(kind, tmp_path / "map.tif", outputs=(other,))
    with pytest.raises(OutputError, match=rf"geolulc's {other} raster of {kind}.*holds its {main}"):
        summarize_map(tmp_path / f"map_{other}.tif", tmp_path / "z.gpkg")


def test_confidence_of_another_map_is_refused(tmp_path: Path) -> None:
    made = write_made("pixels", tmp_path / "map.tif")
    zones = zones_of(box(LEFT, TOP - 500, LEFT + 500, TOP))
    assert "mean_probability" not in summarize_zones(made.path, zones)
    other = write_made("pixels", tmp_path / "other.tif", seed=1, outputs=("confidence",))
    assert "mean_probability" in summarize_zones(other.path, zones)
    (tmp_path / "other_confidence.tif").rename(tmp_path / "map_confidence.tif")
    with pytest.raises(OutputError, match=r"map_confidence\.tif: found confidence of another map"):
        summarize_zones(made.path, zones)
