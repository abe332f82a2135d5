"""Every cell's patch starts where the grid says, in all resolutions, and lands where it belongs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import rasterio
from made_map import save_map
from made_product import (
    CORNERS,
    Corners,
    Means,
    flat_bands,
    make_model,
    make_product,
    position_bands,
    position_dn,
)

from geolulc.bands import BANDS
from geolulc.grid import MapGrid
from geolulc.mapping import predict_scene
from geolulc.products import Product, open_product

#: Not square, no whole number of cells or tiles either way.
WIDTH, HEIGHT = 4260, 3660


@pytest.fixture(scope="module")
def north(tmp_path_factory):
    folder = tmp_path_factory.mktemp("north")
    return make_product(folder, position_bands(WIDTH, HEIGHT), ulx=699_960, uly=1_300_020)


def _corners(product, **options):
    """DN (end, band, row, column) that the network saw in the corners of each cell's patch."""
    model = make_model(Corners(), CORNERS)
    landcover_map = predict_scene(product, model, mask_scl=(), device="cpu", **options)
    dn = np.rint(landcover_map.block.probabilities * 32768)
    tile = product.grid if isinstance(product, Product) else open_product(product).grid
    patches = MapGrid(tile, options.get("stride", 1200))
    return patches, dn.reshape(2, len(BANDS), *landcover_map.header.grid.shape)


@pytest.mark.parametrize("stride", [1200, 600, 360, 300])
def test_every_window_starts_and_ends_where_the_grid_says(north, stride):
    grid, dn = _corners(north, stride=stride)
    rows, columns = grid.shape
    assert rows * stride >= HEIGHT > (rows - 1) * stride
    for row, column in itertools.product(range(rows), range(columns)):
        for index, band in enumerate(BANDS):
            window = grid.window(row, column, band.resolution)
            first = position_dn(band.name, window[0].start, window[1].start)
            last = position_dn(band.name, window[0].stop - 1, window[1].stop - 1)
            assert dn[0, index, row, column] == first, (band.name, row, column)
            assert dn[1, index, row, column] == last, (band.name, row, column)


def test_edge_patches_end_with_the_tile(north):
    grid, dn = _corners(north, stride=1200)
    for index, band in enumerate(BANDS):
        last = position_dn(band.name, HEIGHT // band.resolution - 1, WIDTH // band.resolution - 1)
        assert dn[1, index, -1, -1] == last
    assert grid.shape == (4, 4)


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"threads": 1}, {"threads": 5}])
def test_batches_and_threads_do_not_matter(north, options):
    _, expected = _corners(north, stride=600)
    _, dn = _corners(north, stride=600, **options)
    np.testing.assert_array_equal(dn, expected)


@pytest.mark.parametrize(
    ("epsg", "uly"), [(32632, 5_200_020), (32732, 5_900_020)], ids=["north", "south"]
)
def test_a_feature_lies_where_it_is(tmp_path, epsg, uly):
    """A bright square of known coordinates is found through rasterio in map.tif."""
    bands = flat_bands(WIDTH, HEIGHT, dn=500)
    x, y = 600_000 + 2400, uly - 1200  # upper-left corner of the square of 600 m
    for band in BANDS:
        r = band.resolution
        bands[band.name][1200 // r : 1800 // r, 2400 // r : 3000 // r] = 9000
    product = make_product(tmp_path, bands, epsg=epsg, uly=uly)
    landcover_map = predict_scene(product, make_model(Means()), stride=600, device="cpu")
    save_map(landcover_map, tmp_path / "map.tif", "probabilities")
    with rasterio.open(tmp_path / "map.tif") as dataset:
        probabilities = dataset.read(1)
        assert dataset.crs.to_epsg() == epsg
        row, column = np.unravel_index(probabilities.argmax(), probabilities.shape)
        assert dataset.xy(row, column) == (x + 300, y - 300)
        values = dict(zip([(x + 300, y - 300), (x - 900, y - 300)], (4, 0), strict=True))
        for point, quarters in values.items():
            (sample,) = dataset.sample([point])
            expected = (500 + 8500 * quarters / 16) / 32768
            assert sample[0] == pytest.approx(expected, abs=1e-5)


def test_folder_and_zips_map_alike(tmp_path):
    bands = position_bands(2400, 2400)
    model = make_model(Corners(), CORNERS)
    maps = [
        predict_scene(make_product(tmp_path / str(zipped), bands, zipped=zipped), model)
        for zipped in (None, "stored", "deflated")
    ]
    for other in maps[1:]:
        np.testing.assert_array_equal(other.block.probabilities, maps[0].block.probabilities)
        np.testing.assert_array_equal(other.block.valid, maps[0].block.valid)
        assert other.header.scene == maps[0].header.scene


def test_a_product_of_one_patch(tmp_path):
    product = open_product(make_product(tmp_path, position_bands(1200, 1200)))
    grid, dn = _corners(product)
    assert grid.shape == (1, 1)
    assert dn[0, 1, 0, 0] == position_dn("B02", 0, 0)
