"""A nomenclature that nobody knows, through every file that a map becomes and back."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from made_map import made_map
from made_pixel_map import made_header, made_pixels, strips

from geolulc.analysis import compare_files, describe_map, summarize_map
from geolulc.maps.header import MapBlock
from geolulc.mosaics import MosaicOptions, make_mosaic
from geolulc.nomenclature import Nomenclature, nomenclature_of
from geolulc.nomenclature_files import find_nomenclature
from geolulc.outputs import OutputOptions, SceneStory, write_map

CODES = {
    "low": (3, 10, 11, 40, 77, 200, 254),
    "with 0": (0, 10, 11, 40, 77, 200, 254),
    "wide": (3, 10, 11, 40, 300, 998, 255),
}
NAMES = ("Wheat", "Пшеница", "小麦", "🌾", 'a < b & "c"', "x" * 200, "Übrige; Flächen")


def made_nomenclature(codes: tuple[int, ...]) -> Nomenclature:
    classes = [
        {"name": name, "code": code, "color": f"#{37 * i + 20:02x}{255 - 30 * i:02x}80"}
        for i, (name, code) in enumerate(zip(NAMES, codes, strict=True))
    ]
    return nomenclature_of({"id": "own", "title": "Own – 自", "classes": classes})


def write(kind: str, path: Path, classes: Nomenclature, seed: int = 0) -> np.ndarray:
    """A map.tif with all outputs; returns the positions of its classes, -1 for no data."""
    if kind == "pixels":
        header = made_header(nomenclature=classes, classes=classes.names)
        p = made_pixels(header, seed=seed)
        write_map(header, strips(p), path, story=SceneStory(), options=OutputOptions())
        return np.where(p[0] == 255, -1, p.argmax(axis=0))
    made = made_map(stride=240, seed=seed)
    p = made.block.probabilities[: len(classes)]
    header = made.header.__class__(
        **{**vars(made.header), "nomenclature": classes, "classes": classes.names, "thresholds": ()}
    )
    block = MapBlock(0, 0, p, made.block.valid, made.block.clear)
    write_map(header, [block], path, story=SceneStory(), options=OutputOptions())
    return np.where(np.isnan(p[0]), -1, np.nan_to_num(p).argmax(axis=0))


@pytest.mark.parametrize("kind", ["cells", "pixels"])
@pytest.mark.parametrize("codes", CODES.values(), ids=CODES)
def test_codes_names_and_colours_survive(kind: str, codes: tuple[int, ...], tmp_path: Path) -> None:
    classes = made_nomenclature(codes)
    path = tmp_path / "map.tif"
    found = write(kind, path, classes)
    raster = path if kind == "pixels" else tmp_path / "map_classes.tif"
    with rasterio.open(raster) as dataset:
        values, nodata = dataset.read(1), dataset.nodata
        assert nodata not in codes
        colors = dataset.colormap(1)
    expected = np.where(found < 0, nodata, np.array(codes)[found])
    np.testing.assert_array_equal(values, expected)
    assert [colors[c.code][:3] for c in classes.classes] == [c.rgb for c in classes.classes]
    style = find_nomenclature(raster.with_suffix(".qml"))
    assert {c.name: c.code for c in style.classes} == dict(zip(NAMES, codes, strict=True))

    described = describe_map(path)
    assert described["nomenclature"] == "own"
    areas = described["area_ha_by_class"]
    regions = geopandas.read_file(tmp_path / "map.gpkg", layer="classes")
    for name, code in zip(NAMES, codes, strict=True):
        mine = regions[regions.code == code]
        assert set(mine.name) <= {name}
        if name in areas and kind == "cells":
            assert mine.area_ha.sum() == pytest.approx(areas[name], rel=1e-3)
    with sqlite3.connect(tmp_path / "map.gpkg") as database:
        (style_text,) = database.execute(
            "SELECT styleQML FROM layer_styles WHERE f_table_name = 'classes'"
        ).fetchone()
    assert "小麦" in style_text


@pytest.mark.parametrize("kind", ["cells", "pixels"])
@pytest.mark.parametrize("codes", CODES.values(), ids=CODES)
def test_maps_are_read_again(kind: str, codes: tuple[int, ...], tmp_path: Path) -> None:
    classes = made_nomenclature(codes)
    before, after = (tmp_path / name / "map.tif" for name in ("a", "b"))
    for path in (before, after):
        path.parent.mkdir()
    old, new = write(kind, before, classes), write(kind, after, classes, seed=1)

    _, figures = compare_files(before, after, tmp_path / "change.tif")
    both = (old >= 0) & (new >= 0)
    assert figures["agreement"] == pytest.approx((old == new)[both].mean(), abs=0.02)
    with rasterio.open(tmp_path / "change.tif") as dataset:
        shown, transitions = dataset.read()
        factor = 100 if max(codes) < 99 else 1000
        coded = np.array(codes)
        expected = np.where(both, factor * coded[old] + coded[new], dataset.nodata)
    np.testing.assert_array_equal(transitions, expected)
    assert set(np.unique(shown[both & (old == new)])) == {factor - 1}

    with rasterio.open(before) as dataset:
        zone = geopandas.GeoDataFrame(geometry=[_box(dataset.bounds)], crs=dataset.crs)
    zone.to_file(tmp_path / "zones.gpkg")
    table = summarize_map(before, tmp_path / "zones.gpkg")
    assert float(table.mapped_ha.iloc[0]) > 0
    shares = table.filter(like="share_").drop(columns="mapped_share", errors="ignore")
    assert float(shares.sum(axis=1).iloc[0]) == pytest.approx(1, abs=1e-6)

    made = make_mosaic([before], tmp_path / "mosaic.tif", MosaicOptions(), OutputOptions())
    raster = made.files["classes"] if hasattr(made, "files") else tmp_path / "mosaic.tif"
    if kind == "pixels":
        with rasterio.open(raster) as dataset:
            np.testing.assert_array_equal(
                dataset.read(1), np.where(old < 0, dataset.nodata, coded[old])
            )


def _box(bounds: tuple[float, ...]) -> object:
    import shapely

    return shapely.box(*bounds)
