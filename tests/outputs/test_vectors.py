from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas
import numpy as np
import pandas
import pyogrio
import pytest
import shapely
from defusedxml import ElementTree
from made_map import SOUTHERN_TILE, TILE, made_map
from pandas.testing import assert_frame_equal

from geolulc.grid import TileGrid
from geolulc.nomenclature import BEN19, CLC43
from geolulc.outputs import OutputOptions, write_map
from geolulc.outputs.areas import cell_areas
from geolulc.outputs.cells import dominant_codes, mapped_cells, summarize_classes
from geolulc.outputs.tables import cell_table, class_column, class_polygons, summary_table


@pytest.mark.parametrize("tile", [TILE, SOUTHERN_TILE])
def test_layers_read_back_as_they_were(tmp_path: Path, tile: TileGrid) -> None:
    made = made_map(tile)
    path = write_map(made, tmp_path / "map.tif", outputs=["vectors"])["vectors"]
    for layer, expected in (("classes", class_polygons(made)), ("cells", cell_table(made))):
        read = pyogrio.read_dataframe(path, layer=layer)
        assert read.crs.to_string() == tile.crs
        assert_frame_equal(
            pandas.DataFrame(read.drop(columns="geometry")),
            pandas.DataFrame(expected.drop(columns="geometry")),
            check_dtype=False,
            check_index_type=False,
        )
        assert (read.geometry.to_wkb() == expected.geometry.to_wkb()).all()
    assert pyogrio.read_info(path, layer="classes")["layer_metadata"]["MODEL_NAME"] == "made"


def test_areas_add_up_to_the_mapped_area_exactly(tmp_path: Path) -> None:
    made = made_map(seed=9, nodata=0.3)
    path = write_map(made, tmp_path / "map.tif", outputs=["vectors"])["vectors"]
    mapped = cell_areas(made.grid)[mapped_cells(made)].sum()
    classes = pyogrio.read_dataframe(path, layer="classes")
    cells = pyogrio.read_dataframe(path, layer="cells")
    summary = pyogrio.read_dataframe(path, layer="summary")
    assert classes["area_ha"].sum() == mapped
    assert cells["area_ha"][cells["code"] > 0].sum() == mapped
    assert summary["area_ha"].sum() == mapped
    # and the polygons are the cells: no gap, no overlap, no sliver
    assert classes.area.sum() == cells.area[cells["code"] > 0].sum()
    assert shapely.coverage_is_valid(classes.geometry.to_numpy())
    assert shapely.coverage_is_valid(cells.geometry.to_numpy())
    assert cells.area.min() == 600 * 600  # the corner cell, cut to the tile twice


def test_cells_hold_probabilities_labels_and_shares() -> None:
    made = made_map(seed=4)
    table = cell_table(made)
    rows, columns = made.grid.shape
    assert len(table) == rows * columns
    for i, land_cover in enumerate(BEN19.classes):
        np.testing.assert_array_equal(
            table[class_column("p_", land_cover)], made.probabilities[i].ravel()
        )
    np.testing.assert_array_equal(table["code"], dominant_codes(made).ravel())
    np.testing.assert_array_equal(table["valid_share"], made.valid.ravel())
    np.testing.assert_array_equal(table["clear_share"], made.clear.ravel())
    for index, row in table.iterrows():
        p = made.probabilities[:, index // columns, index % columns]
        assert row.geometry.bounds == made.grid.bounds(index // columns, index % columns)
        if row["code"] == 0:
            assert row["name"] is None or pandas.isna(row["name"])
            assert pandas.isna(row["labels"])
            continue
        present = [n for n, x, t in zip(made.classes, p, made.thresholds, strict=True) if x >= t]
        labels = row["labels"].split("; ") if row["labels"] else []
        assert set(labels) == set(present)
        found = [p[made.classes.index(name)] for name in labels]
        assert found == sorted(found, reverse=True)
        assert row["probability"] == p.max()


def test_columns_of_classes_are_distinct() -> None:
    for nomenclature in (BEN19, CLC43):
        names = {class_column("p_", c) for c in nomenclature.classes}
        assert len(names) == len(nomenclature)
        assert all(name.isidentifier() and name.isascii() for name in names)


def test_every_layer_has_a_style_of_its_own(tmp_path: Path) -> None:
    path = write_map(made_map(), tmp_path / "map.tif", outputs=["vectors"])["vectors"]
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute(
            "SELECT f_table_name, f_table_schema, f_geometry_column, styleQML FROM layer_styles"
        ).fetchall()
        columns = dict(
            database.execute("SELECT table_name, column_name FROM gpkg_geometry_columns")
        )
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert {r[0] for r in rows} == {"classes", "cells", "summary"}
    for layer, schema, column, qml in rows:
        assert schema == ""
        assert column == columns.get(layer, "")
        root = ElementTree.fromstring(qml.split("\n", 1)[1])
        fields = set(pyogrio.read_info(path, layer=layer)["fields"])
        assert {a.get("field") for a in root.iter("alias")} == fields
        if layer != "summary":
            assert root.find("renderer-v2").get("attr") == "code"
            values = {int(c.get("value")) for c in root.iter("category")}
            codes = set(pyogrio.read_dataframe(path, layer=layer)["code"])
            assert codes <= values


def test_cells_are_written_when_few_or_asked_for(tmp_path: Path) -> None:
    fine = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 27_600, 27_600)
    made = made_map(fine, stride=120, nodata=0)  # 52,900 cells
    path = write_map(made, tmp_path / "a.tif", outputs=["vectors"])["vectors"]
    assert {name for name, _ in pyogrio.list_layers(path)} == {"classes", "summary", "layer_styles"}
    options = OutputOptions(("vectors",), cells=False)
    path = write_map(made_map(), tmp_path / "b.tif", options=options)["vectors"]
    assert "cells" not in {name for name, _ in pyogrio.list_layers(path)}


@pytest.mark.parametrize(
    ("vector_format", "read"),
    [("parquet", geopandas.read_parquet), ("flatgeobuf", geopandas.read_file)],
)
def test_other_formats_hold_the_same(tmp_path: Path, vector_format: str, read: object) -> None:
    made = made_map()
    options = OutputOptions(("vectors",), vector_format=vector_format)
    paths = write_map(made, tmp_path / "map.tif", options=options)
    for part, expected in (
        ("vectors", class_polygons(made)),
        ("vectors.cells", cell_table(made)),
    ):
        table = read(paths[part])
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
            else read(paths[part]).attrs
        )
        assert origin["SCENE_NAME"] == made.scene["name"]
    summary = pandas.read_csv(paths["vectors.summary"])
    assert list(summary["name"]) == list(BEN19.names)


def test_summary_has_every_class() -> None:
    table = summary_table(summarize_classes(made_map()))
    assert list(table["code"]) == list(range(1, 20))
    assert table["share"].sum() == pytest.approx(1)
    assert table["cells"].sum() == mapped_cells(made_map()).sum()
