"""Rasters: what they hold is what the map says, of cells and of pixels."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray
from defusedxml import ElementTree
from made_map import SOUTHERN_TILE, made_map, save_map
from made_pixel_map import made_pixel_map
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate

from geolulc.analysis import read_map
from geolulc.errors import OutputError, ParameterError
from geolulc.grid import Extent, Grid, TileGrid
from geolulc.maps.areas import ground_areas
from geolulc.maps.encoding import ENCODINGS, FULL, NODATA
from geolulc.maps.header import LandCoverMap
from geolulc.maps.ranking import doubt
from geolulc.nomenclature import BEN19, CLC43
from geolulc.outputs.files import MapKind, output_names
from geolulc.outputs.rasters import Band, RasterPlan, RasterWriter

FINE = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 72_000, 84_000)  # 600 × 700 cells of 120 m
CELL_RASTERS = ("probabilities", "classes", "presence", "uncertainty")
PIXEL_RASTERS = ("classes", "confidence", "top3", "probabilities")
#: Kind of map → a map of it, its rasters.
MADE: dict[str, tuple[Callable[..., LandCoverMap], tuple[str, ...]]] = {
    "cells": (made_map, CELL_RASTERS),
    "pixels": (made_pixel_map, PIXEL_RASTERS),
}
kinds = pytest.mark.parametrize("kind", list(MADE))


def index_of(made: LandCoverMap) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Position of the most probable class by numpy's own sorting; -1 without data."""
    p = made.block.shares
    mapped = np.isfinite(p).all(axis=0)
    return np.where(mapped, np.where(mapped, p, -1).argmax(axis=0), -1)


def codes_of(made: LandCoverMap) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.append(made.header.codes, 0)[index_of(made)].astype(np.uint8)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16"])
def test_rasters_of_cells_are_cloud_optimized(tmp_path: Path, dtype: str) -> None:
    made = made_map(FINE, stride=120)
    paths = save_map(made, tmp_path / "map.tif", *CELL_RASTERS, dtype=dtype)
    require_cloud_optimized(paths, CELL_RASTERS, 256, [2, 4])
    with rasterio.open(paths["probabilities"], overview_level=0) as dataset:
        first = dataset.read(1, masked=True) * ENCODINGS[dtype].scale
    # a cell of the overview is the mean of the four below it that have data
    blocks = made.block.probabilities[0].reshape(350, 2, 300, 2).astype(float)
    weights = np.isfinite(blocks).sum(axis=(1, 3))
    np.testing.assert_array_equal(np.ma.getmaskarray(first), weights == 0)
    means = np.nansum(blocks, axis=(1, 3)) / np.maximum(weights, 1)
    np.testing.assert_allclose(first[weights > 0], means[weights > 0], atol=0.005)


def test_rasters_of_pixels_are_cloud_optimized(tmp_path: Path) -> None:
    paths = save_map(made_pixel_map(), tmp_path / "map.tif", *PIXEL_RASTERS)
    require_cloud_optimized(paths, PIXEL_RASTERS, 512, [2])
    with rasterio.open(paths["classes"], overview_level=0) as dataset:
        assert set(np.unique(dataset.read(1))) <= set(range(20))


def require_cloud_optimized(
    paths: dict[str, Path], names: tuple[str, ...], block: int, overviews: list[int]
) -> None:
    for name in names:
        valid, errors, warnings = cog_validate(paths[name], strict=True)
        assert (valid, errors, warnings) == (True, [], [])
        with rasterio.open(paths[name]) as dataset:
            assert dataset.overviews(1) == overviews
            assert set(dataset.block_shapes) == {(block, block)}
            assert dataset.tags()["AREA_OR_POINT"] == "Area"
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert dataset.compression.value == "DEFLATE"


@kinds
@pytest.mark.parametrize("tile", [None, SOUTHERN_TILE])
def test_rasters_lie_where_they_belong(tmp_path: Path, kind: str, tile: TileGrid | None) -> None:
    make, names = MADE[kind]
    made = make() if tile is None else make(tile)
    grid = made.header.grid
    paths = save_map(made, tmp_path / "map.tif", *names)
    for name in names:
        with rasterio.open(paths[name]) as dataset:
            assert dataset.crs.to_string() == grid.extent.crs
            assert (dataset.shape, dataset.transform) == (grid.shape, grid.transform)
            tags = dataset.tags()
            assert tags["GEOLULC_FILE"] == name
            assert tags["SCENE_NAME"] == made.header.scene["name"]
            assert tags["MODEL_SHA256"] == made.header.model["sha256"]
    cell = grid.part(3, 1, 1, 1).extent
    with rasterio.open(paths["probabilities"]) as dataset:
        x, y = cell.left + cell.width / 2, cell.top - cell.height / 2
        value = next(dataset.sample([(x, y)]))
        np.testing.assert_array_equal(value, made.block.probabilities[:, 3, 1])


@kinds
def test_probabilities_and_classes_say_what_the_map_says(tmp_path: Path, kind: str) -> None:
    made = MADE[kind][0]()
    paths = save_map(made, tmp_path / "map.tif", "probabilities", "classes")
    with rasterio.open(paths["probabilities"]) as dataset:
        assert dataset.descriptions == BEN19.names
        assert set(dataset.dtypes) == {made.block.probabilities.dtype.name}
        np.testing.assert_array_equal(dataset.read(), made.block.probabilities)
        assert {"THRESHOLD" in dataset.tags(i) for i in dataset.indexes} == {kind == "cells"}
    with rasterio.open(paths["classes"]) as dataset:
        assert (dataset.dtypes, dataset.nodata) == (("uint8",), 0)
        np.testing.assert_array_equal(dataset.read(1), codes_of(made))
        colors = dataset.colormap(1)
    assert {c.code: c.rgb for c in BEN19.classes} == {c: colors[c][:3] for c in range(1, 20)}


def test_confidence_and_top3_say_what_the_pixels_say(tmp_path: Path) -> None:
    made = made_pixel_map()
    p = made.block.probabilities
    paths = save_map(made, tmp_path / "map.tif", "confidence", "top3")
    assert not (tmp_path / "map.tif").exists()
    mapped = p[0] != NODATA
    order = np.argsort(-p.astype(np.int16), axis=0, kind="stable")[:3]
    ranked = np.take_along_axis(p, order, axis=0)
    codes = np.where(mapped, order + 1, 0)
    with rasterio.open(paths["confidence"]) as dataset:
        assert (dataset.nodata, dataset.scales) == (NODATA, (1 / FULL,))
        np.testing.assert_array_equal(dataset.read(1), np.where(mapped, p.max(axis=0), NODATA))
    with rasterio.open(paths["top3"]) as dataset:
        assert dataset.scales == (1, 1, 1, *[1 / FULL] * 3)
        none = ranked == 0
        np.testing.assert_array_equal(
            dataset.read([1, 2, 3]), np.where(mapped, np.where(none, 0, codes), NODATA)
        )
        np.testing.assert_array_equal(dataset.read([4, 5, 6]), np.where(mapped, ranked, NODATA))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_quantised_files_say_how_to_read_them(tmp_path: Path, dtype: str) -> None:
    made = made_map(SOUTHERN_TILE)
    p = made.block.probabilities
    save_map(made, tmp_path / "map.tif", "probabilities", dtype=dtype)
    with rioxarray.open_rasterio(tmp_path / "map.tif", mask_and_scale=True) as array:
        assert array.rio.crs.to_epsg() == 32722
        assert array.rio.transform() == made.header.grid.transform
        assert array.attrs["long_name"] == BEN19.names
        error = np.abs(array.to_numpy() - p)
    mapped = np.isfinite(p[0])
    assert np.isnan(error[:, ~mapped]).all()
    assert error[:, mapped].max() <= ENCODINGS[dtype].scale / 2 + 1e-7
    again = read_map(tmp_path / "map.tif").block.probabilities
    np.testing.assert_array_equal(np.isfinite(again[0]), mapped)
    assert np.nanmax(np.abs(again - p)) <= ENCODINGS[dtype].scale / 2 + 1e-7


def test_a_map_reads_back_as_it_was(tmp_path: Path) -> None:
    made = made_map()
    save_map(made, tmp_path / "map.tif", "probabilities")
    again = read_map(tmp_path / "map.tif")
    np.testing.assert_array_equal(again.block.probabilities, made.block.probabilities)
    assert again.header == made.header
    with rioxarray.open_rasterio(tmp_path / "map.tif", masked=True) as array:
        np.testing.assert_array_equal(array.to_numpy(), made.block.probabilities)
        assert array.x[0] == 600_600
        assert array.y[0] == 5_099_400


@kinds
def test_statistics_tags_are_those_of_the_band(tmp_path: Path, kind: str) -> None:
    made = made_map(nodata=0.3) if kind == "cells" else made_pixel_map()
    paths = save_map(made, tmp_path / "map.tif", "probabilities", "classes")
    with rasterio.open(paths["probabilities"]) as dataset:
        for i in range(19):
            tags = dataset.tags(i + 1)
            band = made.block.shares[i].astype(float)
            if kind == "pixels":  # statistics are in the units of the file
                band = np.round(band * FULL)
            assert float(tags["STATISTICS_MINIMUM"]) == np.nanmin(band)
            assert float(tags["STATISTICS_MAXIMUM"]) == np.nanmax(band)
            assert float(tags["STATISTICS_MEAN"]) == pytest.approx(np.nanmean(band))
            assert float(tags["STATISTICS_STDDEV"]) == pytest.approx(np.nanstd(band))
            assert float(tags["STATISTICS_VALID_PERCENT"]) == pytest.approx(
                100 * np.isfinite(band).mean(), rel=1e-3
            )


@kinds
def test_areas_by_class_stand_in_tags_and_table(tmp_path: Path, kind: str) -> None:
    made = MADE[kind][0]()
    header = made.header
    paths = save_map(made, tmp_path / "map.tif", "classes")
    areas, index = ground_areas(header.grid, header.unit.areas), index_of(made)
    expected = {n: areas[index == i].sum() for i, n in enumerate(header.classes)}
    with rasterio.open(paths["classes"]) as dataset:
        tags = dataset.tags()
    present = {name: area for name, area in expected.items() if area}
    assert json.loads(tags["AREA_HA_BY_CLASS"]) == pytest.approx(present, abs=1e-4)
    assert float(tags["MAPPED_AREA_HA"]) == areas[index >= 0].sum()
    root = ElementTree.parse(paths["classes.attributes"]).getroot()
    names = [e.text for e in root.findall(".//CategoryNames/Category")]
    assert names == ["No data", *BEN19.names]
    columns = [e.findtext("Name") for e in root.findall(".//FieldDefn")]
    rows = [
        dict(zip(columns, [f.text for f in row.findall("F")], strict=True))
        for row in root.findall(".//Row")
    ]
    assert [row.get("index") for row in root.findall(".//Row")] == [str(i) for i in range(19)]
    for row, land_cover in zip(rows, BEN19.classes, strict=True):
        assert (int(row["Value"]), row["Class"]) == (land_cover.code, land_cover.name)
        assert tuple(int(row[c]) for c in ("Red", "Green", "Blue")) == land_cover.rgb
        assert int(row["Count"]) == (codes_of(made) == land_cover.code).sum()
        assert float(row["Area_ha"]) == pytest.approx(expected[land_cover.name], abs=1e-4)


def test_presence_and_uncertainty_layers(tmp_path: Path) -> None:
    made = made_map()
    p, block = made.block.probabilities, made.block
    paths = save_map(made, tmp_path / "map.tif", "presence", "uncertainty")
    mapped = np.isfinite(p[0])
    with rasterio.open(paths["presence"]) as dataset:
        assert dataset.descriptions == ("Number of classes present", *BEN19.names)
        assert dataset.nodata == 255
        count, *layers = dataset.read()
    present = p >= made.header.presence_thresholds[:, None, None]
    for layer, expected in zip(layers, present, strict=True):
        np.testing.assert_array_equal(layer, np.where(mapped, expected, 255))
    np.testing.assert_array_equal(count[mapped], present.sum(axis=0)[mapped])
    with rasterio.open(paths["uncertainty"]) as dataset:
        assert dataset.descriptions == ("Entropy", "Margin", "Valid share", "Clear share")
        layers = dataset.read()
    two = np.sort(p, axis=0)[-2:]
    unsure = doubt(made.header, p)
    for layer, expected in zip(
        layers, (unsure, two[1] - two[0], block.valid, block.clear), strict=True
    ):
        np.testing.assert_array_equal(layer, expected)
    save_map(made_map(clear=False), tmp_path / "b.tif", "uncertainty")
    with rasterio.open(tmp_path / "b_uncertainty.tif") as dataset:
        assert dataset.count == 3


@pytest.mark.parametrize(
    ("kind", "part"), [(kind, part) for kind, (_, parts) in MADE.items() for part in parts]
)
def test_styles_cover_every_value(tmp_path: Path, kind: str, part: str) -> None:
    made = MADE[kind][0]()
    paths = save_map(made, tmp_path / "map.tif", part)
    root = ElementTree.parse(paths[part + ".style"]).getroot()
    renderer = root.find(".//rasterrenderer")
    assert renderer is not None
    if part in ("classes", "top3"):
        entries = {
            int(e.get("value")): (e.get("label"), e.get("color")) for e in root.iter("paletteEntry")
        }
        assert entries == {c.code: (c.name, c.color) for c in BEN19.classes}
        return
    items = [float(e.get("value")) for e in root.iter("item")]
    assert items == sorted(items)
    assert renderer.get("classificationMin") == "0"
    if part == "probabilities":
        assert renderer.get("classificationMax") == "1"
        areas = ground_areas(made.header.grid, made.header.unit.areas)
        expected = [np.nansum(p * areas) for p in made.block.shares]
        assert int(renderer.get("band")) == 1 + int(np.argmax(expected))
    if part == "presence":
        assert items[-1] == float("inf")


@kinds
def test_the_43_classes_and_a_map_without_data(tmp_path: Path, kind: str) -> None:
    outputs = output_names(MapKind.CELLS if kind == "cells" else MapKind.PIXELS)
    if kind == "cells":
        full = made_map(names="clc43", thresholds=(), nodata=0)
        empty = made_map(nodata=1.0)
    else:
        small = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 2_400, 1_800)
        full = made_pixel_map(small, nomenclature=CLC43, classes=CLC43.names)
        made = made_pixel_map(small)
        nothing = np.full_like(made.block.probabilities, NODATA)
        empty = LandCoverMap(made.header, replace(made.block, probabilities=nothing))
    paths = save_map(full, tmp_path / "clc.tif", *outputs)
    with rasterio.open(paths["probabilities"]) as dataset:
        assert dataset.descriptions == CLC43.names
    paths = save_map(empty, tmp_path / "empty.tif", *outputs)
    with rasterio.open(paths["classes"]) as dataset:
        assert not dataset.read().any()
        assert float(dataset.tags()["MAPPED_AREA_HA"]) == 0
        assert dataset.tags(1)["STATISTICS_VALID_PERCENT"] == "0"
    assert f"No {kind[:-1]} of this map has data." in paths["report"].read_text()


def test_maps_of_some_classes_keep_their_codes(tmp_path: Path) -> None:
    names = ("Pastures", "Marine waters")
    p = made_map(nodata=0).block.probabilities[[BEN19.index(n) for n in names]]
    made = made_map(classes=names, probabilities=p, thresholds=(0.4, 0.5))
    paths = save_map(made, tmp_path / "map.tif", *output_names(MapKind.CELLS))
    with rasterio.open(paths["classes"]) as dataset:
        assert set(np.unique(dataset.read())) == {5, 19}
    assert read_map(paths["probabilities"]).header.classes == names


def test_a_part_of_a_tile_lies_where_it_belongs(tmp_path: Path) -> None:
    tile = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 7_200, 6_000)
    part = Extent(tile.crs, 602_020.0, 5_098_760.0, 2_220, 1_300)
    made = made_pixel_map(grid=Grid(part, 20, tile), classes=BEN19.names[:2])
    paths = save_map(made, tmp_path / "map.tif", *PIXEL_RASTERS)
    with rasterio.open(paths["classes"]) as dataset:
        assert dataset.bounds == (602_020.0, 5_097_460.0, 604_240.0, 5_098_760.0)
    with rasterio.open(paths["top3"]) as dataset:
        assert dataset.count == 4


def test_what_cannot_be_encoded_or_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"'int8'.*float32, uint16, uint8"):
        save_map(made_map(), tmp_path / "m.tif", "probabilities", dtype="int8")
    with pytest.raises(ParameterError, match=r"'shapefile'"):
        save_map(made_map(), tmp_path / "m.tif", vector_format="shapefile")
    assert list(tmp_path.iterdir()) == []
    paths = save_map(made_map(), tmp_path / "map.tif", "probabilities", "presence")
    with pytest.raises(OutputError, match=r"geolulc's presence raster"):
        read_map(paths["presence"])
    whole = paths["probabilities"].read_bytes()
    paths["probabilities"].write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(OutputError, match=r"map\.tif: found a damaged file.*expected a whole map"):
        read_map(paths["probabilities"])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("size", [128, 256, 700])
def test_blocks_come_in_any_order(tmp_path: Path, dtype: str, size: int) -> None:
    """What is never written has no data, and statistics are those of the whole raster."""
    extent = Extent("EPSG:32632", 600_000.0, 5_100_000.0, 7_000, 13_000)
    nodata = ENCODINGS[dtype].nodata
    rng = np.random.default_rng(size)
    values = rng.integers(0, 250, (2, 1300, 700)).astype(dtype)
    values[:, rng.random((1300, 700)) < 0.1] = nodata
    places = [(r, c) for r in range(0, 1300, size) for c in range(0, 700, size)]
    rng.shuffle(places)
    left_out = places.pop() if size < 700 else None
    bands = [Band("one", {"A": "b"}, unit="m"), Band("two", scale=0.5)]
    plan = RasterPlan(Grid.over(extent, 10), bands, dtype, nodata)
    with RasterWriter(tmp_path / "a.tif", plan) as writer:
        for row, column in places:
            writer.write(row, column, values[:, row : row + size, column : column + size])
        writer.finish({"X": "y"})
    if left_out is not None:
        row, column = left_out
        values[:, row : row + size, column : column + size] = nodata
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]
    with rasterio.open(tmp_path / "a.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), values)
        assert dataset.tags()["X"] == "y"
        assert (dataset.descriptions, dataset.scales) == (("one", "two"), (1, 0.5))
        assert (dataset.units[0], dataset.tags(1)["A"]) == ("m", "b")
        known = np.ma.masked_invalid(np.ma.masked_equal(values[1], nodata).astype(float))
        tags = dataset.tags(2)
        assert float(tags["STATISTICS_MEAN"]) == pytest.approx(known.mean())
        assert float(tags["STATISTICS_STDDEV"]) == pytest.approx(known.std())
        percent = 100 * known.count() / known.size
        assert tags["STATISTICS_VALID_PERCENT"] == f"{percent:.4g}"


def test_a_file_that_is_not_what_was_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = RasterPlan(
        Grid.over(Extent("EPSG:32632", 0, 0, 6_000, 6_000), 10), [Band("a")], "uint8", 0
    )
    with RasterWriter(tmp_path / "a.tif", plan) as writer:
        writer.write(0, 0, np.ones((1, 128, 600), np.uint8))
        # a cell that the writer does not know of
        writer._scratch.write(np.full((1, 1, 1), 9, np.uint8), window=Window(3, 127, 1, 1))
        with pytest.raises(OutputError, match=r"a\.tif.*not what was written"):
            writer.finish({})
