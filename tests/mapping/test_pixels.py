"""Pixel models over scenes: every pixel in its place, whatever the windows, strips and batches."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from made_nets import make_net
from made_pixel_nets import Blurred, Itself, make_pixel_model
from made_product import Means, flat_bands, make_model, make_product, random_bands
from scipy.ndimage import gaussian_filter

import geolulc
from geolulc.bands import BANDS
from geolulc.cli import cli
from geolulc.errors import ParameterError
from geolulc.grid import TileGrid
from geolulc.mapping import MapOptions, Mapper, predict_scene
from geolulc.mapping.windows import WindowGrid
from geolulc.nets import Model, save_checkpoint
from geolulc.products import open_product

WIDTH, HEIGHT = 12_000, 7_200
OPTIONS = MapOptions(device="cpu", mask_scl=())


def smooth_bands(seed: int = 0) -> dict[str, np.ndarray]:
    """Hills of 300 m in all bands."""
    rng = np.random.default_rng(seed)
    bands = {}
    for b in BANDS:
        noise = rng.standard_normal((HEIGHT // b.resolution, WIDTH // b.resolution))
        hills = gaussian_filter(noise, 300 / b.resolution)
        bands[b.name] = (3000 + 800 * hills / hills.std()).clip(1, 9000).astype(np.uint16)
    return bands


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A product that takes several windows each way, with its bands."""
    bands = smooth_bands()
    return make_product(tmp_path_factory.mktemp("smooth"), bands), bands


def _red(bands):
    return bands["B04"].astype(np.float64) / 32768


class TestPlace:
    def test_every_pixel_gets_its_own(self, scene):
        path, bands = scene
        found = predict_scene(path, make_pixel_model(Itself()), options=OPTIONS)
        np.testing.assert_allclose(found.block.probabilities[1], _red(bands), atol=5e-5)
        np.testing.assert_allclose(found.block.probabilities.sum(axis=0), 1, atol=5e-5)

    @pytest.mark.parametrize("resolution", [20, 60])
    def test_coarser_pixels_are_means(self, scene, resolution):
        path, bands = scene
        options = MapOptions(device="cpu", mask_scl=(), resolution=resolution)
        found = predict_scene(path, make_pixel_model(Itself()), options=options)
        n = resolution // 10
        red = _red(bands).reshape(HEIGHT // resolution, n, WIDTH // resolution, n).mean((1, 3))
        np.testing.assert_allclose(found.block.probabilities[1], red, atol=5e-5)

    def test_an_area_is_cut_at_its_pixels(self, scene, tmp_path):
        path, _ = scene
        tile = open_product(path).grid
        # no centre of a pixel lies on an edge
        ring = [(2010.3, 1501.7), (9003.1, 1799.2), (6001.9, 5502.6), (2497.7, 6001.3)]
        area = shapely.Polygon([(tile.left + x, tile.top - y) for x, y in ring])
        file = tmp_path / "area.geojson"
        crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
        shape = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(area)}
        collection = {"type": "FeatureCollection", "crs": crs, "features": [shape]}
        file.write_text(json.dumps(collection))
        model = make_pixel_model(Blurred(), mean=3000, std=800)
        part = predict_scene(path, model, options=MapOptions(device="cpu", mask_scl=(), aoi=file))
        whole = predict_scene(path, model, options=OPTIONS)
        grid = part.header.grid
        (top, left), (high, wide) = grid.inset, grid.shape
        rows, columns = (slice(at // 10, at // 10 + n) for at, n in ((top, high), (left, wide)))
        y, x = np.mgrid[rows, columns] * 10 + 5
        inside = shapely.contains_xy(area, tile.left + x, tile.top - y)
        np.testing.assert_array_equal(np.isfinite(part.block.probabilities[0]), inside)
        np.testing.assert_array_equal(
            part.block.probabilities[:, inside],
            whole.block.probabilities[:, rows, columns][:, inside],
        )

    def test_no_data_and_clouds_are_single_pixels(self, tmp_path):
        bands = {name: band.copy() for name, band in flat_bands().items()}
        bands["B04"][7, 11] = 0
        bands["B05"][30, 40] = 0
        scl = np.full((120, 120), 4, np.uint8)
        scl[100, 50] = 9
        path = make_product(tmp_path, bands, scl=scl)
        found = predict_scene(
            path, make_pixel_model(Itself()), options=MapOptions(device="cpu")
        ).block.probabilities
        expected = np.zeros((240, 240), bool)
        expected[7, 11] = expected[60:62, 80:82] = expected[200:202, 100:102] = True
        np.testing.assert_array_equal(np.isnan(found[0]), expected)
        options = MapOptions(device="cpu", resolution=20, min_valid=0.5)
        coarse = predict_scene(
            path, make_pixel_model(Itself()), options=options
        ).block.probabilities
        # three of its four pixels have data: they say what it is
        assert not np.isnan(coarse[0, 3, 5])
        assert np.isnan(coarse[0, 30, 40])
        assert np.isnan(coarse[0, 100, 50])


class TestLayout:
    def test_strips_batches_and_threads_do_not_show(self, scene, tmp_path):
        path, bands = scene
        other = make_product(tmp_path, bands, jp2_tiles={10: 640, 20: 90, 60: 120})
        model = make_pixel_model(Blurred(), mean=3000, std=800)
        first = predict_scene(path, model, options=OPTIONS)
        options = MapOptions(device="cpu", mask_scl=(), batch_size=3, threads=3)
        second = predict_scene(other, model, options=options)
        np.testing.assert_allclose(first.block.probabilities, second.block.probabilities, atol=1e-4)

    def test_a_decoder_on_a_trunk_too(self, scene):
        path, _ = scene
        model = Model(make_net(task="pixel").eval())
        area = MapOptions(device="cpu", mask_scl=(), aoi=_box(path, 5000, 2500, 7500, 4300))
        part = predict_scene(path, model, options=area)
        whole = predict_scene(path, model, options=MapOptions(mask_scl=(), batch_size=2))
        grid = part.header.grid
        (top, left), (high, wide) = grid.inset, grid.shape
        rows, columns = (slice(at // 10, at // 10 + n) for at, n in ((top, high), (left, wide)))
        known = np.isfinite(part.block.probabilities[0])
        assert known.mean() > 0.5
        difference = part.block.probabilities - whole.block.probabilities[:, rows, columns]
        assert np.abs(difference[:, known]).max() < 1e-4

    def test_no_seams(self, scene):
        """Where windows meet, the map is as steep as elsewhere; with too small a margin not."""
        path, _ = scene
        steps = {}
        for margin in (300, 0):
            model = make_pixel_model(Blurred(margin=margin), mean=0, std=2000)
            with Mapper([model], OPTIONS) as mapper, mapper.open(open_product(path)) as run:
                blocks = run.blocks(shares=True)
                made = np.concatenate([block.probabilities for block in blocks], axis=1)
            windows = mapper.ensemble.windows(open_product(path).grid)
            border, ramp = windows.step // 10, max(2, windows.ramp // 10)
            curved = np.abs(np.diff(made[1], n=2, axis=1)).mean(axis=0)
            # the tile's own border is no seam
            inner = curved[60:-60]
            at = slice(border - ramp - 62, border + ramp - 60)
            steps[margin] = inner[at].mean() / np.delete(inner, np.r_[at]).mean()
        assert 0.8 < steps[300] < 1.2
        assert steps[0] > 1.5


def _box(path, left, top, right, bottom) -> str:
    """Degrees of metres from the tile's corner."""
    from pyproj import Transformer

    tile = open_product(path).grid
    to_degrees = Transformer.from_crs(tile.crs, "EPSG:4326", always_xy=True)
    west, north = to_degrees.transform(tile.left + left, tile.top - top)
    east, south = to_degrees.transform(tile.left + right, tile.top - bottom)
    return f"{west},{south},{east},{north}"


@pytest.mark.parametrize(
    ("multiple", "margin"), [(960, 360), (240, 120), (1920, 660), (60, 0), (300, 90)]
)
def test_weights_of_windows_sum_to_one(multiple, margin):
    tile = TileGrid("EPSG:32632", 600_000, 5_200_020, 109_800, 20_040)
    windows = WindowGrid.of_network(tile, multiple, margin, 10)
    assert windows.side % multiple == 0
    assert windows.step % multiple == 0
    assert windows.margin - windows.ramp >= margin
    for extent, count in ((tile.width, windows.shape[1]), (tile.height, windows.shape[0])):
        total = np.zeros(extent // 10)
        for index in range(count):
            total[windows.support(index, extent)] += windows.weights(index, extent)
            inside = windows.inside(index, extent)
            assert inside.start >= 0
            assert inside.stop <= windows.side // 10
        np.testing.assert_allclose(total, 1, atol=1e-6)


def test_models_are_averaged(tmp_path):
    path = make_product(tmp_path, random_bands())
    models = [make_pixel_model(Itself()), make_pixel_model(Blurred(), mean=2500, std=1000)]
    singly = [predict_scene(path, model, options=OPTIONS).block.probabilities for model in models]
    both = predict_scene(path, models, options=OPTIONS).block.probabilities
    np.testing.assert_allclose(both, (singly[0] + singly[1]) / 2, atol=5e-5)


def test_turns_are_undone(tmp_path):
    path = make_product(tmp_path, random_bands())
    options = MapOptions(device="cpu", mask_scl=(), tta=True)
    turned = predict_scene(path, make_pixel_model(Itself()), options=options).block.probabilities
    plain = predict_scene(path, make_pixel_model(Itself()), options=OPTIONS).block.probabilities
    np.testing.assert_allclose(turned, plain, atol=5e-5)


def test_from_the_command_line(tmp_path):
    scene = make_product(tmp_path, random_bands())
    save_checkpoint(tmp_path / "m.safetensors", Model(make_net(task="pixel").eval()))
    paths = ["--out", str(tmp_path / "map.tif"), "--model", str(tmp_path / "m.safetensors")]
    arguments = ["map", str(scene), *paths, "--quiet", "--device", "cpu"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.shape == (240, 240)
        assert dataset.res == (10, 10)


def test_as_an_array(tmp_path):
    scene = make_product(tmp_path, random_bands())
    array = geolulc.predict_pixels(scene, make_pixel_model(Itself()), resolution=60, mask_scl=())
    assert array.dims == ("class", "y", "x")
    assert array.rio.resolution() == (60, -60)
    tile = open_product(scene).grid
    assert float(array.x[0]) == tile.left + 30
    assert float(array.y[0]) == tile.top - 30


class TestRefusals:
    @pytest.mark.parametrize("resolution", [10, 60])
    def test_patch_models_have_no_pixels(self, resolution):
        options = MapOptions(resolution=resolution)
        with pytest.raises(ParameterError, match=r"model of patches; expected 320, 160 or 80 m"):
            Mapper([make_model(Means())], options)

    def test_pixel_models_have_pixels(self):
        with pytest.raises(ParameterError, match=r"a model of pixels; expected 10, 20 or 60 m"):
            Mapper([make_pixel_model(Itself())], MapOptions(resolution=160))
        with pytest.raises(ParameterError, match="stride 600"):
            Mapper([make_pixel_model(Itself())], MapOptions(stride=600))

    def test_other_sizes(self):
        with pytest.raises(ParameterError, match="a model of patches; expected 320, 160 or 80 m"):
            Mapper([make_model(Means())], MapOptions(resolution=100))

    def test_models_of_both_kinds(self):
        models = [make_pixel_model(Itself()), make_model(Means())]
        for mixture in models, models[::-1]:
            with pytest.raises(ParameterError, match="Average models of one task"):
                Mapper(mixture, MapOptions())

    def test_models_of_both_levels(self):
        """What is computed for one would be wrong for the other."""
        models = [make_pixel_model(Itself()), make_pixel_model(Itself())]
        models[1].net.level = "L1C"
        for mixture in models, models[::-1]:
            with pytest.raises(ParameterError, match="Average models of one level"):
                Mapper(mixture, MapOptions())

    def test_a_whole_tile_of_pixels_is_too_large_for_memory(self, tmp_path, monkeypatch):
        monkeypatch.setattr("geolulc.mapping.scene._LARGEST", 2 * 240 * 240 * 4 - 1)
        scene = make_product(tmp_path)
        with pytest.raises(ParameterError, match=r"240 × 240 pixels.*Give an aoi"):
            geolulc.predict_scene(scene, make_pixel_model(Itself()), mask_scl=())
        assert geolulc.predict_scene(scene, make_model(Means())).shape[1:] == (2, 2)
