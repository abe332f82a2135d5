"""The files of polygons, of maps of both kinds."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pyogrio
import pytest
import shapely
from defusedxml import ElementTree
from made_codes import KINDS
from made_map import SOUTHERN_TILE, TILE, made_map, save_map
from made_pixel_map import made_pixel_map
from pandas.testing import assert_frame_equal

from geolulc.grid import Extent, Grid, TileGrid
from geolulc.maps.areas import ground_areas
from geolulc.maps.header import LandCoverMap, MapBlock
from geolulc.maps.ranking import rank_classes
from geolulc.maps.regions import find_regions
from geolulc.maps.sieve import sieve
from geolulc.maps.tally import ClassSummary, Tally
from geolulc.nomenclature import BEN19, CLC43
from geolulc.outputs.tables import cell_table, class_column, summary_table


def made_of(kind: str, **changes: Any) -> LandCoverMap:
    """A map of either kind."""
    return made_map(**changes) if kind == "cells" else made_pixel_map(**changes)


def codes_of(made: LandCoverMap) -> np.ndarray:
    return rank_classes(made.block.probabilities).dominant(made.header)


def areas_of(made: LandCoverMap) -> np.ndarray:
    return ground_areas(made.header.grid, made.header.unit.areas)


def summaries_of(made: LandCoverMap) -> tuple[ClassSummary, ...]:
    tally = Tally(made.header)
    tally.add(made.block, rank_classes(made.block.probabilities))
    return tally.totals.summaries


def layer_of(path: Path, name: str = "classes") -> Any:
    return pyogrio.read_dataframe(path, layer=name)


@pytest.fixture(scope="module", params=KINDS)
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LandCoverMap, Path]:
    """A map of each kind and its GeoPackage, as it is by default."""
    made = made_of(request.param)
    out = tmp_path_factory.mktemp("vectors") / "map.tif"
    return made, save_map(made, out, "vectors")["vectors"]


def test_layers_hold_every_cell_once(written: tuple[LandCoverMap, Path]) -> None:
    made, path = written
    codes, areas = codes_of(made), areas_of(made)
    layer, summary = layer_of(path), layer_of(path, "summary")
    assert layer["cells"].sum() == (codes != 0).sum() == summary["cells"].sum()
    assert layer["area_ha"].sum() == areas[codes != 0].sum() == summary["area_ha"].sum()
    assert layer["mean_probability"].between(0, 1).all()
    assert shapely.coverage_is_valid(layer.geometry.to_numpy())
    if made.header.exclusive:
        assert layer["area_ha"].min() > 0.49
        sieve(codes, 50)
    for code, area in layer.groupby("code")["area_ha"].sum().items():
        assert area == pytest.approx(areas[codes == code].sum(), rel=1e-12)
        shown = layer.geometry[layer["code"] == code].area.sum() / 1e4
        # pixels: outlines are simplified
        assert shown == pytest.approx(area, rel=0.01 if made.header.exclusive else 0.001)


def test_columns_and_metadata(written: tuple[LandCoverMap, Path]) -> None:
    made, path = written
    names = {name for name, _ in pyogrio.list_layers(path)}
    cells = set() if made.header.exclusive else {"cells"}
    assert names == {"classes", "summary", "layer_styles"} | cells
    layer = layer_of(path)
    assert list(layer.columns) == [
        "code", "name", "area_ha", "mean_probability", "cells", "geometry",
    ]  # fmt: skip
    by_code = {c.code: c.name for c in BEN19.classes}
    assert list(layer["name"]) == [by_code[code] for code in layer["code"]]
    tags = pyogrio.read_info(path, layer="classes")["layer_metadata"]
    assert tags["MODEL_NAME"] == "made"
    assert tags.get("MIN_AREA_HA") == ("0.5" if made.header.exclusive else None)
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT identifier, description FROM gpkg_contents").fetchall()
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert dict(rows)["classes"].startswith("Regions of one most probable class")


@pytest.mark.parametrize("tile", [TILE, SOUTHERN_TILE])
def test_cells_read_back_as_they_were(tmp_path: Path, tile: TileGrid) -> None:
    made = made_map(tile)
    path = save_map(made, tmp_path / "map.tif", "vectors")["vectors"]
    read, expected = layer_of(path, "cells"), cell_table(made.header, made.block)
    assert read.crs.to_string() == tile.crs
    assert_frame_equal(
        pandas.DataFrame(read.drop(columns="geometry")),
        pandas.DataFrame(expected.drop(columns="geometry")),
        check_dtype=False,
        check_index_type=False,
    )
    assert (read.geometry.to_wkb() == expected.geometry.to_wkb()).all()
    assert pyogrio.read_info(path, layer="cells")["layer_metadata"]["MODEL_NAME"] == "made"


def test_cells_and_regions_cover_the_same_ground(tmp_path: Path) -> None:
    made = made_map(seed=9, nodata=0.3)
    path = save_map(made, tmp_path / "map.tif", "vectors")["vectors"]
    mapped = areas_of(made)[codes_of(made) != 0].sum()
    classes, cells = layer_of(path), layer_of(path, "cells")
    assert cells["area_ha"][cells["code"] > 0].sum() == mapped
    # the polygons are the cells: no gap, no overlap, no sliver
    assert classes.area.sum() == cells.area[cells["code"] > 0].sum()
    assert shapely.coverage_is_valid(cells.geometry.to_numpy())
    assert cells.area.min() == 600 * 600  # the corner cell, cut to the tile twice


def test_cells_hold_probabilities_labels_and_shares() -> None:
    made = made_map(seed=4)
    table = cell_table(made.header, made.block)
    rows, columns = made.header.grid.shape
    assert len(table) == rows * columns
    shares = made.block.shares
    for i, land_cover in enumerate(BEN19.classes):
        np.testing.assert_array_equal(table[class_column("p_", land_cover)], shares[i].ravel())
    np.testing.assert_array_equal(table["code"], codes_of(made).ravel())
    np.testing.assert_array_equal(table["valid_share"], made.block.valid.ravel())
    np.testing.assert_array_equal(table["clear_share"], made.block.clear.ravel())
    x, y = made.header.grid.edges()
    for index, row in table.iterrows():
        r, c = divmod(index, columns)
        assert (row["row"], row["column"]) == (r, c)
        p = shares[:, r, c]
        assert row.geometry.bounds == (x[c], y[r + 1], x[c + 1], y[r])
        if row["code"] == 0:
            assert row["name"] is None or pandas.isna(row["name"])
            assert pandas.isna(row["labels"])
            continue
        pairs = zip(made.header.classes, p, made.header.thresholds, strict=True)
        present = [name for name, share, threshold in pairs if share >= threshold]
        labels = row["labels"].split("; ") if row["labels"] else []
        assert set(labels) == set(present)
        found = [p[made.header.classes.index(name)] for name in labels]
        assert found == sorted(found, reverse=True)
        assert row["probability"] == p.max()


def test_cells_of_a_part_are_rows_of_the_whole_table() -> None:
    made = made_map(seed=4)
    whole = cell_table(made.header, made.block)
    part = MapBlock(
        2, 1, made.block.shares[:, 2:4, 1:5], made.block.valid[2:4, 1:5], made.block.clear[2:4, 1:5]
    )
    found = cell_table(made.header, part)
    inside = whole["row"].between(2, 3) & whole["column"].between(1, 4)
    assert_frame_equal(found, whole[inside].reset_index(drop=True))


def test_cells_are_written_some_thousand_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables are rows of one layer, though the first ones know nothing of clear shares."""
    whole = made_map(seed=4)
    clear = np.where(np.arange(5)[:, None] < 2, np.nan, whole.block.clear).astype(np.float32)
    made = replace(whole, block=replace(whole.block, clear=clear))
    monkeypatch.setattr("geolulc.outputs.vectors._AT_ONCE", 6)
    for place, vector_format in (("a", "gpkg"), ("b", "parquet")):
        paths = save_map(made, tmp_path / f"{place}.tif", "vectors", vector_format=vector_format)
        if vector_format == "gpkg":
            table = layer_of(paths["vectors"], "cells")
        else:
            table = geopandas.read_parquet(paths["vectors.cells"])
        expected = cell_table(made.header, made.block)
        assert_frame_equal(
            pandas.DataFrame(table.drop(columns="geometry")),
            pandas.DataFrame(expected.drop(columns="geometry")),
            check_dtype=vector_format == "parquet",
        )


def test_columns_of_classes_are_distinct() -> None:
    for nomenclature in (BEN19, CLC43):
        names = {class_column("p_", c) for c in nomenclature.classes}
        assert len(names) == len(nomenclature)
        assert all(name.isidentifier() and name.isascii() for name in names)


def test_every_layer_has_a_style_of_its_own(written: tuple[LandCoverMap, Path]) -> None:
    made, path = written
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute(
            "SELECT f_table_name, f_table_schema, f_geometry_column, styleQML FROM layer_styles"
        ).fetchall()
        columns = dict(
            database.execute("SELECT table_name, column_name FROM gpkg_geometry_columns")
        )
    cells = set() if made.header.exclusive else {"cells"}
    assert {r[0] for r in rows} == {"classes", "summary"} | cells
    for layer, schema, column, qml in rows:
        assert schema == ""
        assert column == columns.get(layer, "")
        root = ElementTree.fromstring(qml.split("\n", 1)[1])
        fields = set(pyogrio.read_info(path, layer=layer)["fields"])
        assert {a.get("field") for a in root.iter("alias")} == fields
        if layer != "summary":
            assert root.find("renderer-v2").get("attr") == "code"
            values = {int(c.get("value")) for c in root.iter("category")}
            assert set(layer_of(path, layer)["code"]) <= values


def test_cells_are_written_when_few_or_asked_for(tmp_path: Path) -> None:
    fine = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 27_600, 27_600)
    made = made_map(fine, stride=120, nodata=0)  # 52,900 cells
    path = save_map(made, tmp_path / "a.tif", "vectors")["vectors"]
    assert {name for name, _ in pyogrio.list_layers(path)} == {"classes", "summary", "layer_styles"}
    path = save_map(made_map(), tmp_path / "b.tif", "vectors", cells=False)["vectors"]
    assert "cells" not in {name for name, _ in pyogrio.list_layers(path)}


@pytest.mark.parametrize(
    ("vector_format", "read"),
    [("parquet", geopandas.read_parquet), ("flatgeobuf", geopandas.read_file)],
)
def test_other_formats_hold_the_same(
    tmp_path: Path,
    written: tuple[LandCoverMap, Path],
    vector_format: str,
    read: Callable[[Path], Any],
) -> None:
    made, geopackage = written
    paths = save_map(made, tmp_path / "map.tif", "vectors", vector_format=vector_format)
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in paths.values()}
    for part, layer in (("vectors", "classes"), ("vectors.cells", "cells")):
        if part not in paths:
            assert made.header.exclusive
            continue
        table, expected = read(paths[part]), layer_of(geopackage, layer)
        assert table.crs.to_string() == "EPSG:32632"
        keys = ["row", "column"] if "row" in table else ["code", "area_ha", "mean_probability"]
        table = table.sort_values(keys).reset_index(drop=True)  # FlatGeobuf sorts by place
        expected = expected.sort_values(keys).reset_index(drop=True)
        assert list(table.columns) == list(expected.columns)
        np.testing.assert_array_equal(table["area_ha"], expected["area_ha"])
        assert table.geometry.geom_equals(expected.geometry).all()
        ElementTree.parse(paths[part + ".style"])
        origin = (
            pyogrio.read_info(paths[part])["layer_metadata"]
            if vector_format == "flatgeobuf"
            else table.attrs or read(paths[part]).attrs
        )
        assert origin["SCENE_NAME"] == made.header.scene["name"]
    summary = pandas.read_csv(paths["vectors.summary"])
    assert list(summary["name"]) == list(BEN19.names)


def fine_cells() -> LandCoverMap:
    """100 × 100 cells of 120 m."""
    tile = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 12_000, 12_000)
    return made_map(tile, stride=120, nodata=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_polygons_are_bounded_in_number(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = fine_cells() if kind == "cells" else made_pixel_map()
    codes = codes_of(made)
    assert len(find_regions(codes).code) > 250
    with caplog.at_level(logging.WARNING):
        paths = save_map(made, tmp_path / "map.tif", "vectors", max_polygons=200, cells=None)
    layer = layer_of(paths["vectors"])
    assert 20 < len(layer) <= 200
    assert layer["cells"].sum() == (codes != 0).sum()
    assert "more than 200 polygons" in caplog.text
    smallest = float(
        pyogrio.read_info(paths["vectors"], layer="classes")["layer_metadata"]["MIN_AREA_HA"]
    )
    assert layer["cells"].min() * made.header.grid.cell**2 / 10_000 >= smallest


@pytest.mark.parametrize("kind", KINDS)
def test_a_minimum_area_joins_small_regions(tmp_path: Path, kind: str) -> None:
    made = fine_cells() if kind == "cells" else made_pixel_map()
    codes, area = codes_of(made), 30 * made.header.grid.cell**2 / 10_000
    paths = save_map(made, tmp_path / "map.tif", "vectors", min_area=area)
    layer = layer_of(paths["vectors"])
    tags = pyogrio.read_info(paths["vectors"], layer="classes")["layer_metadata"]
    assert float(tags["MIN_AREA_HA"]) == area
    sieve(codes, 30)
    regions = find_regions(codes)
    assert sorted(layer["cells"]) == sorted(regions.cells[regions.code != 0])
    assert layer["area_ha"].sum() == areas_of(made)[codes != 0].sum()
    assert shapely.coverage_is_valid(layer.geometry.to_numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_islands_beyond_the_bound_are_left_out_and_said(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = fine_cells() if kind == "cells" else made_pixel_map()
    p = made.block.probabilities.copy()
    y, x = np.mgrid[: p.shape[1], : p.shape[2]]
    p[:, (y % 10 < 5) | (x % 10 < 5)] = 255 if kind == "pixels" else np.nan
    made = replace(made, block=replace(made.block, probabilities=p))
    with caplog.at_level(logging.WARNING):
        paths = save_map(made, tmp_path / "map.tif", "vectors", max_polygons=70)
    assert len(layer_of(paths["vectors"])) == 70
    assert "left out: islands in nodata" in caplog.text


def test_every_pixel_is_kept_on_demand(tmp_path: Path) -> None:
    ground = Extent("EPSG:32632", 600_000.0, 5_100_000.0, 2_500, 2_000)
    made = made_pixel_map(grid=Grid.over(ground, 10))
    path = save_map(made, tmp_path / "map.tif", "vectors", min_area=0)["vectors"]
    codes, layer = codes_of(made), layer_of(path)
    for code, area in layer.dissolve("code").geometry.area.items():
        assert area == 100 * (codes == code).sum()
    assert len(layer) == (find_regions(codes).code != 0).sum()
    tags = pyogrio.read_info(path, layer="classes")["layer_metadata"]
    assert tags["MIN_AREA_HA"] == "0.01"


def test_regions_come_by_code_and_from_top_to_bottom(tmp_path: Path) -> None:
    made = made_map(seed=7, nodata=0.2)
    layer = layer_of(save_map(made, tmp_path / "map.tif", "vectors")["vectors"])
    labelled = find_regions(codes_of(made))
    order = np.argsort(labelled.code, kind="stable")
    order = order[labelled.code[order] != 0]
    np.testing.assert_array_equal(layer["code"], labelled.code[order])
    np.testing.assert_array_equal(layer["cells"], labelled.cells[order])


@pytest.mark.parametrize("kind", KINDS)
def test_summary_has_every_class(kind: str) -> None:
    made = made_of(kind)
    table = summary_table(summaries_of(made))
    assert list(table["code"]) == list(range(1, 20))
    assert table["share"].sum() == pytest.approx(1)
    assert table["cells"].sum() == (codes_of(made) != 0).sum()
