"""A minimum mapping unit."""

from __future__ import annotations

import numpy as np
import rasterio.features
from hypothesis import given, settings
from hypothesis import strategies as st
from made_codes import made_codes

from geolulc.maps.regions import find_regions
from geolulc.maps.sieve import sieve


def sieved(codes: np.ndarray, cells: int = 50) -> np.ndarray:
    coarse = codes.copy()
    sizes = sieve(coarse, cells)
    regions = find_regions(coarse)
    np.testing.assert_array_equal(sizes, regions.cells[regions.code != 0])
    return coarse


def test_sieving_leaves_nothing_small_but_islands() -> None:
    codes = made_codes()
    coarse = sieved(codes)
    np.testing.assert_array_equal(coarse == 0, codes == 0)
    regions = find_regions(coarse)
    assert regions.cells[regions.code != 0].min() >= 50
    lonely = np.zeros((20, 20), np.uint8)
    lonely[5:8, 5:8] = 3
    np.testing.assert_array_equal(sieved(lonely), lonely)
    # noise has no region of the full size to go to
    noise = np.random.default_rng(0).integers(1, 20, (300, 300), np.uint8)
    assert find_regions(sieved(noise)).cells.min() >= 50


def test_a_speck_goes_to_its_largest_neighbour() -> None:
    codes = np.full((12, 12), 7, np.uint8)
    codes[:, :3] = 2
    codes[5, 2:5] = 3  # between 7 (105 cells) and 2 (35)
    codes[0, 0] = 4  # between two cells of 2, at the map's corner
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
def test_sieving_changes_small_regions_only(seed: int, cells: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.repeat(rng.integers(0, 4, (9, 9), np.uint8), 7, 0), 7, 1)
    speckled = rng.random(codes.shape) < 0.1
    codes[speckled] = rng.integers(0, 6, int(speckled.sum()))
    coarse = sieved(codes, cells)
    regions = find_regions(codes)
    large = regions.cells[regions.labels] >= cells
    np.testing.assert_array_equal(coarse[large], codes[large])
    np.testing.assert_array_equal(coarse == 0, codes == 0)


def test_sieving_gives_what_gdal_gives_step_by_step() -> None:
    codes = made_codes()  # regions of many sizes: hardly any neighbours are equally large
    gdal, size = codes.copy(), 1
    while size < 50:
        size = min(2 * size, 50)
        rasterio.features.sieve(gdal, size, out=gdal, mask=gdal, connectivity=4)
    assert (sieved(codes) != gdal).mean() < 0.01
