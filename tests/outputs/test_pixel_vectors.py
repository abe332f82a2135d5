"""Polygons and zonal tables of maps at pixel precision."""

from __future__ import annotations

import logging
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.features
import shapely
from geolulc.outputs.pixel_polygons import region_polygons
from geolulc.outputs.pixel_regions import Regions, find_regions
from geolulc.outputs.pixel_sieve import sieve, unit_pixels
from geolulc.outputs.pixel_writing import write_pixel_map
from hypothesis import given, settings
from hypothesis import strategies as st
from made_pixel_map import TILE, made_header, made_pixels, strips
from scipy.ndimage import label

from geolulc.outputs import (
    OutputOptions,
)
from geolulc.pixel_map import PixelGrid


def made_codes(seed: int = 0) -> np.ndarray:
    p = made_pixels(made_header(), seed=seed)
    return np.where(p[0] == 255, 0, p.argmax(axis=0) + 1).astype(np.uint8)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    header = made_header()
    out = tmp_path_factory.mktemp("vectors") / "map.tif"
    options = OutputOptions(("classes", "confidence", "vectors"))
    return write_pixel_map(header, strips(made_pixels(header)), out, options=options)


def sieved(codes: np.ndarray, pixels: int = 50) -> np.ndarray:
    coarse = codes.copy()
    sieve(coarse, pixels)
    return coarse


def polygons_of(regions: Regions, *, block: int) -> tuple[np.ndarray, np.ndarray]:
    found = list(region_polygons(regions, block=block))
    return np.concatenate([f.regions for f in found]), np.concatenate([f.polygons for f in found])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 30), st.integers(1, 30))
def test_regions_are_those_of_labelling(seed: int, classes: int, rows: int, columns: int) -> None:
    codes = np.random.default_rng(seed).integers(0, classes + 1, (rows, columns), np.uint8)
    regions = find_regions(codes)
    owner = regions.window(slice(0, rows), slice(0, columns))
    np.testing.assert_array_equal(regions.code[owner], codes)
    np.testing.assert_array_equal(np.bincount(owner.ravel()), regions.pixels)
    expected = sum(label(codes == code)[1] for code in np.unique(codes))
    assert len(regions.code) == expected
    for code in np.unique(codes):
        pairs = {
            (a, b) for a, b in zip(label(codes == code)[0].ravel(), owner.ravel(), strict=True)
        }
        assert len([p for p in pairs if p[0]]) == label(codes == code)[1]


def test_regions_across_parts() -> None:
    codes = np.ones((1300, 40), np.uint8)
    codes[:, 20] = 2
    codes[700, 20] = 1
    regions = find_regions(codes)
    assert sorted(regions.pixels) == [599, 700, 40 * 1300 - 1299]
    assert regions.window(slice(690, 710), slice(19, 22))[10, 1] == regions.of_run[0]


def test_sieving_leaves_nothing_small_but_islands() -> None:
    codes = made_codes()
    coarse = sieved(codes)
    np.testing.assert_array_equal(coarse == 0, codes == 0)
    regions = find_regions(coarse)
    assert regions.pixels[regions.code != 0].min() >= 50
    lonely = np.zeros((20, 20), np.uint8)
    lonely[5:8, 5:8] = 3
    np.testing.assert_array_equal(sieved(lonely), lonely)
    # noise has no region of the full size to go to
    noise = np.random.default_rng(0).integers(1, 20, (300, 300), np.uint8)
    assert find_regions(sieved(noise)).pixels.min() >= 50
    assert unit_pixels(made_header().grid, 0.5) == 50
    assert unit_pixels(PixelGrid.of_tile(TILE, 60), 0.5) == 2


def test_a_speck_goes_to_its_largest_neighbour() -> None:
    codes = np.full((12, 12), 7, np.uint8)
    codes[:, :3] = 2
    codes[5, 2:5] = 3  # between 7 (105 pixels) and 2 (35)
    codes[0, 0] = 4  # between two pixels of 2, at the map's corner
    codes[11, 11] = 0
    expected = codes.copy()
    expected[5, 2:5], expected[0, 0] = 7, 2
    np.testing.assert_array_equal(sieved(codes, 10), expected)
    # of equal neighbours the first; what has become one region counts as one
    codes = np.array([[1, 1, 1, 2, 3, 3, 3]], np.uint8)
    np.testing.assert_array_equal(sieved(codes, 2), [[1, 1, 1, 1, 3, 3, 3]])
    codes = np.array([[1, 1, 1, 2, 1, 3, 3, 3, 3, 3]], np.uint8)
    np.testing.assert_array_equal(sieved(codes, 3), [[1] * 3 + [1, 3] + [3] * 5])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60))
def test_sieving_changes_small_regions_only(seed: int, pixels: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.repeat(rng.integers(0, 4, (9, 9), np.uint8), 7, 0), 7, 1)
    speckled = rng.random(codes.shape) < 0.1
    codes[speckled] = rng.integers(0, 6, int(speckled.sum()))
    coarse = sieved(codes, pixels)
    regions = find_regions(codes)
    large = regions.pixels[regions.window(slice(0, 63), slice(0, 63))] >= pixels
    np.testing.assert_array_equal(coarse[large], codes[large])
    np.testing.assert_array_equal(coarse == 0, codes == 0)


def test_sieving_gives_what_gdal_gives_step_by_step() -> None:
    codes = made_codes()  # regions of many sizes: hardly any neighbours are equally large
    gdal, size = codes.copy(), 1
    while size < 50:
        size = min(2 * size, 50)
        rasterio.features.sieve(gdal, size, out=gdal, mask=gdal, connectivity=4)
    assert (sieved(codes) != gdal).mean() < 0.01


@pytest.mark.parametrize("block", [10_000, 256, 97])
def test_polygons_are_a_coverage_that_keeps_areas(block: int) -> None:
    codes = sieved(made_codes())
    regions = find_regions(codes)
    index, polygons = polygons_of(regions, block=block)
    assert sorted(index) == list(range(len(regions.code)))
    assert set(shapely.get_type_id(polygons)) == {3}
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)
    # nothing gapes: together they cover the map once
    assert shapely.area(polygons).sum() == pytest.approx(codes.size, abs=1e-6)
    assert shapely.area(shapely.coverage_union_all(polygons)) == pytest.approx(codes.size)
    for code in range(1, 20):
        area = shapely.area(polygons[regions.code[index] == code]).sum()
        assert area == pytest.approx((codes == code).sum(), rel=0.0051)
    steps = shapely.get_num_coordinates(polygons_of_raster(codes)).sum()
    assert shapely.get_num_coordinates(polygons).sum() < 0.8 * steps


def polygons_of_raster(codes: np.ndarray) -> list[shapely.Geometry]:
    return [shapely.geometry.shape(s) for s, _ in rasterio.features.shapes(codes, connectivity=4)]


def test_layers_hold_every_pixel_once(written: dict[str, Path]) -> None:
    layer = geopandas.read_file(written["vectors"], layer="classes")
    summary = pyogrio.read_dataframe(written["vectors"], layer="summary")
    codes = made_codes()
    assert layer["cells"].sum() == (codes != 0).sum() == summary["cells"].sum()
    assert layer["area_ha"].sum() == pytest.approx(summary["area_ha"].sum(), rel=1e-12)
    assert layer["area_ha"].min() > 0.49
    assert layer["mean_probability"].between(0, 1).all()
    coarse = sieved(codes)
    for code, area in layer.groupby("code")["area_ha"].sum().items():
        shown = layer.geometry[layer["code"] == code].area.sum() / 1e4
        assert area == pytest.approx(0.01 * (coarse == code).sum(), rel=1e-3)
        assert shown == pytest.approx(area, rel=0.01)
    assert shapely.coverage_is_valid(layer.geometry.to_numpy())
    names = dict(pyogrio.list_layers(written["vectors"]))
    assert set(names) == {"classes", "summary", "layer_styles"}
    tags = pyogrio.read_info(written["vectors"], layer="classes")["layer_metadata"]
    assert tags["MIN_AREA_HA"] == "0.5"


@pytest.mark.parametrize("vector_format", ["parquet", "flatgeobuf"])
def test_other_formats_hold_the_same(
    tmp_path: Path, written: dict[str, Path], vector_format: str
) -> None:
    header = made_header()
    options = OutputOptions(("vectors",), vector_format=vector_format)
    paths = write_pixel_map(
        header, strips(made_pixels(header)), tmp_path / "map.tif", options=options
    )
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in paths.values()}
    read = geopandas.read_parquet if vector_format == "parquet" else geopandas.read_file
    found = read(paths["vectors"])
    expected = geopandas.read_file(written["vectors"], layer="classes")
    assert found.crs == expected.crs
    np.testing.assert_array_equal(sorted(found["area_ha"]), sorted(expected["area_ha"]))
    assert found.geometry.area.sum() == pytest.approx(expected.geometry.area.sum())


def test_polygons_are_bounded_in_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    header = made_header()
    options = OutputOptions(("vectors",), max_polygons=200)
    with caplog.at_level(logging.WARNING):
        paths = write_pixel_map(
            header, strips(made_pixels(header)), tmp_path / "map.tif", options=options
        )
    layer = geopandas.read_file(paths["vectors"], layer="classes")
    assert 50 < len(layer) <= 200
    assert layer["cells"].sum() == (made_codes() != 0).sum()
    assert "more than 200 polygons" in caplog.text


def test_islands_beyond_the_bound_are_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    header = made_header()
    p = made_pixels(header, nodata=False)
    y, x = np.mgrid[: p.shape[1], : p.shape[2]]
    p[:, (y % 40 < 20) | (x % 40 < 20)] = 255
    options = OutputOptions(("vectors",), max_polygons=100)
    with caplog.at_level(logging.WARNING):
        paths = write_pixel_map(header, strips(p), tmp_path / "map.tif", options=options)
    assert len(geopandas.read_file(paths["vectors"], layer="classes")) == 100
    assert "left out" in caplog.text


def test_every_pixel_is_kept_on_demand(tmp_path: Path) -> None:
    grid = PixelGrid(TILE, 10, 0, 0, 600, 700)
    header = made_header(grid=grid)
    p = made_pixels(header)
    options = OutputOptions(("vectors",), min_area=0)
    paths = write_pixel_map(header, strips(p), tmp_path / "map.tif", options=options)
    layer = geopandas.read_file(paths["vectors"], layer="classes")
    codes = np.where(p[0] == 255, 0, p.argmax(axis=0) + 1)
    for code, area in layer.dissolve("code").geometry.area.items():
        assert area == 100 * (codes == code).sum()
