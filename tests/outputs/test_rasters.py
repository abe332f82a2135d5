from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray
from defusedxml import ElementTree
from hypothesis import given, settings
from hypothesis import strategies as st
from made_map import SOUTHERN_TILE, made_map
from rio_cogeo.cogeo import cog_validate

from geolulc.errors import OutputError, ParameterError
from geolulc.grid import TileGrid
from geolulc.nomenclature import BEN19, CLC43
from geolulc.outputs import OUTPUTS, OutputOptions, read_map, write_map
from geolulc.outputs.areas import cell_areas
from geolulc.outputs.cells import (
    dominant_codes,
    dominant_index,
    entropy,
    map_thresholds,
    mapped_cells,
    margin,
)
from geolulc.outputs.probabilities import ENCODINGS, encode

FINE = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 36_000, 42_000)  # 300 × 350 cells of 120 m
RASTERS = ("probabilities", "classes", "presence", "uncertainty")


@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16"])
def test_rasters_are_cloud_optimized(tmp_path: Path, dtype: str) -> None:
    made = made_map(FINE, stride=120)
    paths = write_map(made, tmp_path / "map.tif", options=OutputOptions(RASTERS, dtype))
    for name in RASTERS:
        valid, errors, warnings = cog_validate(paths[name], strict=True)
        assert (valid, errors, warnings) == (True, [], [])
        with rasterio.open(paths[name]) as dataset:
            assert dataset.overviews(1) == [2]
            assert dataset.tags()["AREA_OR_POINT"] == "Area"
    with rasterio.open(paths["probabilities"], overview_level=0) as dataset:
        first = dataset.read(1, masked=True) * ENCODINGS[dtype].scale
    # a cell of the overview is the mean of the four below it that have data
    blocks = made.probabilities[0].reshape(175, 2, 150, 2).astype(float)
    weights = np.isfinite(blocks).sum(axis=(1, 3))
    np.testing.assert_array_equal(np.ma.getmaskarray(first), weights == 0)
    means = np.nansum(blocks, axis=(1, 3)) / np.maximum(weights, 1)
    np.testing.assert_allclose(first[weights > 0], means[weights > 0], atol=0.005)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=19, max_size=19))
def test_quantised_probabilities_are_within_half_a_step(dtype: str, values: list[float]) -> None:
    p = np.broadcast_to(np.array(values, np.float32)[:, None, None], (19, 5, 6)).copy()
    p[:, 2, 2] = np.nan
    encoding = ENCODINGS[dtype]
    stored = encode(made_map(probabilities=p), encoding)
    assert (stored[:, 2, 2] == encoding.nodata).all()
    stored = np.delete(stored.reshape(19, -1), 2 * 6 + 2, axis=1)
    assert stored.max() * encoding.scale <= 1
    assert stored.max() < encoding.nodata
    error = np.abs(stored * encoding.scale - np.array(values)[:, None])
    assert error.max() <= encoding.scale / 2 * (1 + 1e-9)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_quantised_files_say_how_to_read_them(tmp_path: Path, dtype: str) -> None:
    made = made_map(SOUTHERN_TILE)
    write_map(made, tmp_path / "map.tif", options=OutputOptions(("probabilities",), dtype))
    with rioxarray.open_rasterio(tmp_path / "map.tif", mask_and_scale=True) as array:
        assert array.rio.crs.to_epsg() == 32722
        assert array.rio.transform() == made.grid.transform
        assert array.attrs["long_name"] == BEN19.names
        error = np.abs(array.to_numpy() - made.probabilities)
    mapped = mapped_cells(made)
    assert np.isnan(error[:, ~mapped]).all()
    assert error[:, mapped].max() <= ENCODINGS[dtype].scale / 2 + 1e-7
    again = read_map(tmp_path / "map.tif")
    np.testing.assert_array_equal(mapped_cells(again), mapped)
    assert np.nanmax(np.abs(again.probabilities - made.probabilities)) <= (
        ENCODINGS[dtype].scale / 2 + 1e-7
    )


def test_a_map_reads_back_as_it_was(tmp_path: Path) -> None:
    made = made_map()
    write_map(made, tmp_path / "map.tif", outputs=["probabilities"])
    again = read_map(tmp_path / "map.tif")
    np.testing.assert_array_equal(again.probabilities, made.probabilities)
    assert (again.grid, again.classes, again.nomenclature) == (
        made.grid, made.classes, made.nomenclature,
    )  # fmt: skip
    assert again.thresholds == pytest.approx(made.thresholds)
    assert (again.scene, again.model) == (made.scene, made.model)
    with rioxarray.open_rasterio(tmp_path / "map.tif", masked=True) as array:
        np.testing.assert_array_equal(array.to_numpy(), made.probabilities)
        assert array.x[0] == 600_600
        assert array.y[0] == 5_099_400


def test_statistics_tags_are_those_of_the_band(tmp_path: Path) -> None:
    made = made_map(nodata=0.3)
    write_map(made, tmp_path / "map.tif", outputs=["probabilities", "classes"])
    with rasterio.open(tmp_path / "map.tif") as dataset:
        for i in range(19):
            tags = dataset.tags(i + 1)
            band = made.probabilities[i].astype(float)
            assert float(tags["STATISTICS_MINIMUM"]) == np.nanmin(band)
            assert float(tags["STATISTICS_MAXIMUM"]) == np.nanmax(band)
            assert float(tags["STATISTICS_MEAN"]) == pytest.approx(np.nanmean(band))
            assert float(tags["STATISTICS_STDDEV"]) == pytest.approx(np.nanstd(band))
            assert float(tags["STATISTICS_VALID_PERCENT"]) == pytest.approx(
                100 * np.isfinite(band).mean(), rel=1e-3
            )


def test_areas_by_class_stand_in_the_class_raster(tmp_path: Path) -> None:
    made = made_map()
    paths = write_map(made, tmp_path / "map.tif", outputs=["classes"])
    expected = {
        name: cell_areas(made.grid)[dominant_index(made) == i].sum()
        for i, name in enumerate(made.classes)
        if (dominant_index(made) == i).any()
    }
    with rasterio.open(paths["classes"]) as dataset:
        areas = json.loads(dataset.tags()["AREA_HA_BY_CLASS"])
    assert areas == pytest.approx(expected, abs=1e-4)
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
        assert int(row["Count"]) == (dominant_codes(made) == land_cover.code).sum()
        assert float(row["Area_ha"]) == pytest.approx(expected.get(land_cover.name, 0), abs=1e-4)


def test_presence_and_uncertainty_layers(tmp_path: Path) -> None:
    made = made_map()
    paths = write_map(made, tmp_path / "map.tif", outputs=["presence", "uncertainty"])
    mapped = mapped_cells(made)
    with rasterio.open(paths["presence"]) as dataset:
        assert dataset.descriptions == ("Number of classes present", *BEN19.names)
        assert dataset.nodata == 255
        count, *layers = dataset.read()
    present = made.probabilities >= map_thresholds(made)[:, None, None]
    for layer, expected in zip(layers, present, strict=True):
        np.testing.assert_array_equal(layer, np.where(mapped, expected, 255))
    np.testing.assert_array_equal(count[mapped], present.sum(axis=0)[mapped])
    with rasterio.open(paths["uncertainty"]) as dataset:
        assert dataset.descriptions == ("Entropy", "Margin", "Valid share", "Clear share")
        layers = dataset.read()
    for layer, expected in zip(
        layers, (entropy(made), margin(made), made.valid, made.clear), strict=True
    ):
        np.testing.assert_array_equal(layer, expected)
    write_map(made_map(clear=False), tmp_path / "b.tif", outputs=["uncertainty"])
    with rasterio.open(tmp_path / "b_uncertainty.tif") as dataset:
        assert dataset.count == 3


@pytest.mark.parametrize("part", RASTERS)
def test_styles_cover_every_value(tmp_path: Path, part: str) -> None:
    made = made_map()
    paths = write_map(made, tmp_path / "map.tif", outputs=[part])
    root = ElementTree.parse(paths[part + ".style"]).getroot()
    renderer = root.find(".//rasterrenderer")
    assert renderer is not None
    if part == "classes":
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
        shares = [np.nansum(p * cell_areas(made.grid)) for p in made.probabilities]
        assert int(renderer.get("band")) == 1 + int(np.argmax(shares))
    if part == "presence":
        assert items[-1] == float("inf")


def test_the_43_classes_and_a_map_without_data(tmp_path: Path) -> None:
    model = made_map(names="clc43", thresholds=(), nodata=0)
    paths = write_map(model, tmp_path / "clc.tif", outputs=OUTPUTS)
    with rasterio.open(paths["probabilities"]) as dataset:
        assert dataset.descriptions == CLC43.names
    empty = made_map(nodata=1.0)
    paths = write_map(empty, tmp_path / "empty.tif", outputs=OUTPUTS)
    with rasterio.open(paths["classes"]) as dataset:
        assert not dataset.read().any()
    assert np.isnan(read_map(paths["probabilities"]).probabilities).all()
    assert "No cell of this map has data." in paths["report"].read_text()


def test_maps_of_some_classes_keep_their_codes(tmp_path: Path) -> None:
    names = ("Pastures", "Marine waters")
    full = made_map(nodata=0)
    p = full.probabilities[[BEN19.index(n) for n in names]]
    paths = write_map(
        made_map(classes=names, probabilities=p, thresholds=(0.4, 0.5)),
        tmp_path / "map.tif",
        outputs=OUTPUTS,
    )
    with rasterio.open(paths["classes"]) as dataset:
        assert set(np.unique(dataset.read())) == {5, 19}
    assert read_map(paths["probabilities"]).classes == names


def test_what_cannot_be_encoded_or_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"'int8'.*float32, uint8, uint16"):
        write_map(made_map(), tmp_path / "m.tif", options=OutputOptions(("probabilities",), "int8"))
    with pytest.raises(ParameterError, match=r"'shapefile'"):
        write_map(made_map(), tmp_path / "m.tif", options=OutputOptions(vector_format="shapefile"))
    assert list(tmp_path.iterdir()) == []
    paths = write_map(made_map(), tmp_path / "map.tif", outputs=["probabilities", "presence"])
    with pytest.raises(OutputError, match=r"geolulc's presence raster"):
        read_map(paths["presence"])
    whole = paths["probabilities"].read_bytes()
    paths["probabilities"].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OutputError, match=r"map\.tif.*expected a map"):
        read_map(paths["probabilities"])
