"""A made sensor of two resolutions goes the whole way: store, training, evaluation, map."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from made_map import save_map

import geolulc
from geolulc.analysis import read_map
from geolulc.bands import BANDS, SENTINEL2, Band, Sensor, sensor_of
from geolulc.cli import cli
from geolulc.datasets import Patch, PatchLayout, open_store, write_store
from geolulc.errors import DatasetError, ParameterError, ProductError
from geolulc.learning.config import TrainConfig
from geolulc.learning.evaluation import evaluate
from geolulc.learning.light import Light
from geolulc.learning.training import train
from geolulc.mapping import predict_scene
from geolulc.nets import load_checkpoint
from geolulc.nets.onnx_export import DeepnessGraph
from geolulc.nomenclature import nomenclature
from geolulc.products import array_scene

#: Pixels of 10 and 30 m, patches of 960 m.
MADE = Sensor(
    "made",
    (
        Band("green", 10, 560.0),
        Band("red", 10, 665.0),
        Band("near", 30, 865.0),
        Band("thermal", 30, 10_900.0),
    ),
)
LAYOUT = PatchLayout(MADE, 960)
CLASSES = nomenclature("esri")
WATER, TREES = CLASSES.names[:2]
PLACE = {"crs": 32632, "transform": (10, 0, 600_000, 0, -10, 5_200_020)}
CPU = {"device": "cpu"}


def pixels(
    rng: np.random.Generator, height: int, width: int, water: bool, sensor: Sensor = MADE
) -> dict[str, np.ndarray]:
    """Bands of water, dark beyond the visible, or of trees."""
    return {
        b.name: rng.integers(100, 400, (height // b.resolution, width // b.resolution)).astype(
            np.uint16
        )
        + np.uint16(0 if water and b.wavelength > 800 else 1500)
        for b in sensor.bands
    }


def patches(count: int = 24, size: int = 960, sensor: Sensor = MADE) -> Iterator[Patch]:
    rng = np.random.default_rng(0)
    codes = {True: CLASSES[WATER].code, False: CLASSES[TREES].code}
    for index in range(count):
        water = index % 2 == 0
        bands = pixels(rng, size, size, water, sensor)
        yield Patch(
            key=f"p{index}", dataset="made",
            dn={r: np.stack([bands[n] for n in names]) for r, names in sensor.groups.items()},
            reference=np.full((size // sensor.resolutions[0],) * 2, codes[water], np.uint16),
            labels=(WATER if water else TREES,), ben19=(), clc43=None, country=None, season=None,
            date="2024-06-01T10:00:00", tile=None, crs="EPSG:32632",
            left=600_000.0 + 960 * index, top=5_200_020.0,
            split="train" if index < 16 else "val",
        )  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("sensor") / "made.store"
    write_store(path, patches(), CLASSES, layout=LAYOUT)
    return path


def test_a_store_knows_its_sensor(store) -> None:
    opened = open_store(store)
    assert opened.layout == LAYOUT
    assert set(opened.statistics) == set(MADE.names)
    for patch, expected in zip(map(opened.read, range(3)), patches(), strict=False):
        assert {r: g.shape for r, g in patch.dn.items()} == {10: (2, 96, 96), 30: (2, 32, 32)}
        for r, group in patch.dn.items():
            np.testing.assert_array_equal(group, expected.dn[r])


@pytest.mark.parametrize(
    ("fusion", "bands"),
    [("early", ""), ("early", "thermal,green"), ("intermediate", ""), ("late", "")],
)
def test_train_evaluate_and_map(store, tmp_path, fusion, bands) -> None:
    run = tmp_path / "run"
    config = TrainConfig(
        backbone="test_resnet", fusion=fusion, epochs=1, batch_size=4, workers=0, bands=bands
    )
    train(store, run, config, device="cpu")
    model = load_checkpoint(run)
    assert (model.net.sensor, model.net.patch_size) == (MADE, 960)
    assert dict(model.net.bands) == (MADE.select(["thermal", "green"]) if bands else MADE.groups)
    arguments = ["evaluate", str(run), str(store), "--split", "val", "--json", "--device", "cpu"]
    done = CliRunner().invoke(cli, [*arguments, "--report", str(tmp_path / "report")])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)

    arrays = pixels(np.random.default_rng(9), 2880, 3840, water=True)
    found = geolulc.predict_scene(arrays, model, offset=0, sensor=MADE, **PLACE, **CPU)
    assert found.shape == (len(CLASSES), 3, 4)
    assert found.rio.transform() * (1, 1) == (600_960, 5_199_060)
    assert float(found.valid.min()) == 1
    near = geolulc.predict_scene(arrays, model, offset=0, sensor=MADE, stride=480, **PLACE, **CPU)
    assert near.shape == (len(CLASSES), 6, 8)
    # the same answer as for the patch by itself
    one = {b.name: arrays[b.name][: 960 // b.resolution, : 960 // b.resolution] for b in MADE.bands}
    import torch

    groups = [
        torch.from_numpy(np.stack([one[n] for n in names]).astype(np.int32))[None]
        for names in model.net.bands.values()
    ]
    with torch.inference_mode():
        alone = model.probabilities(model.net(*groups))[0]
    np.testing.assert_allclose(found.values[:, 0, 0], alone.numpy(), atol=1e-5)

    # as QGIS' Deepness shows it: bands in spectral order, 20 DN a step of 8 bits
    order = [name for name in MADE.names if name in model.net.band_names]
    steps = {name: 5 * (place + 1) for place, name in enumerate(order)}
    image = torch.tensor(list(steps.values())).float().div(255)[None, :, None, None]
    flat = [
        torch.stack([torch.full((960 // r,) * 2, 20 * steps[n]) for n in names])[None].int()
        for r, names in model.net.bands.items()
    ]
    with torch.inference_mode():
        seen = DeepnessGraph(model)(image.expand(-1, -1, 96, 96))
        expected = model.probabilities(model.net(*flat))
    assert seen.shape == (1, len(CLASSES), 96, 96)
    np.testing.assert_allclose(seen[..., 0, 0], expected, atol=1e-5)


#: No band of 10 m: its finest pixels are of 30 m.
COARSE = Sensor("coarse", (Band("red", 30, 665.0), Band("near", 90, 865.0)), scale=1000)


@pytest.mark.parametrize(
    ("sensor", "size", "fusion"),
    [
        (MADE, 960, "early"),
        (MADE, 960, "intermediate"),
        (MADE, 960, "late"),
        (COARSE, 2880, "early"),
        (COARSE, 2880, "forest"),
    ],
)
def test_a_model_of_pixels_trains_evaluates_and_maps(tmp_path, sensor, size, fusion) -> None:
    fine, coarse = sensor.resolutions
    store, run = tmp_path / "pixels.store", tmp_path / "run"
    layout = PatchLayout(sensor, size)
    write_store(store, patches(size=size, sensor=sensor), CLASSES, layout=layout)
    config = TrainConfig(task="pixel", backbone="forest", workers=0)
    if fusion != "forest":
        config = TrainConfig(
            task="pixel", backbone="test_resnet", fusion=fusion, epochs=4, batch_size=4, workers=0,
            learning_rate=0.01, crop=size // fine // 2 // 3 * 3, light_jitter=0.5,
            ignore_border=30,
        )  # fmt: skip
    train(store, run, config, device="cpu")
    model = load_checkpoint(run)
    assert (model.net.sensor, model.net.patch_size) == (sensor, size)
    arguments = ["evaluate", str(run), str(store), "--split", "val", "--json", "--device", "cpu"]
    done = CliRunner().invoke(cli, [*arguments, "--report", str(tmp_path / "report")])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)["figures"]
    assert figures["agreement"] > 0.95

    rows, columns = 7 * coarse, 11 * coarse  # less than a patch, and no whole windows
    rng = np.random.default_rng(9)
    halves = [pixels(rng, rows, columns, water, sensor) for water in (True, False)]
    arrays = {name: np.concatenate([half[name] for half in halves]) for name in sensor.names}
    place = PLACE | {"transform": (fine, 0, 600_000, 0, -fine, 5_200_020)}
    found = geolulc.predict_scene(arrays, model, offset=0, sensor=sensor, **place, **CPU)
    assert found.shape == (len(CLASSES), 2 * rows // fine, columns // fine)
    assert found.rio.transform().a == fine
    best = found.values.argmax(axis=0)
    assert (best[: rows // fine - 6] == 0).mean() > 0.9
    assert (best[rows // fine + 6 :] == 1).mean() > 0.9
    wide = geolulc.predict_scene(
        arrays, model, offset=0, sensor=sensor, resolution=coarse, **place, **CPU
    )
    assert wide.shape == (len(CLASSES), 14, 11)
    with pytest.raises(ParameterError, match=f"expected {fine} or {coarse} m"):
        geolulc.predict_scene(arrays, model, offset=0, sensor=sensor, resolution=20, **place, **CPU)


def test_a_map_of_another_sensor_is_a_map(store, tmp_path) -> None:
    """Its tile is of whole pixels of 30 m, which those of 60 m would not be."""
    train(
        store, tmp_path / "run", TrainConfig(backbone="test_resnet", epochs=1, batch_size=8),
        device="cpu",
    )  # fmt: skip
    arrays = pixels(np.random.default_rng(9), 1950, 2910, water=True)
    scene = array_scene(
        arrays, offset=0, sensor=MADE, facts={"sensing_time": "2024-06-01T10:00:00+00:00"}, **PLACE
    )
    made = predict_scene(scene, load_checkpoint(tmp_path / "run"), device="cpu", stride=480)
    files = save_map(made, tmp_path / "map.tif", "probabilities", "classes")
    with rasterio.open(files["probabilities"]) as dataset:
        assert dataset.tags()["ALIGNMENT_M"] == "30"
    again = read_map(files["probabilities"])
    assert again.header.grid == made.header.grid
    assert again.header.grid.tile.alignment == 30
    np.testing.assert_allclose(again.block.probabilities, made.block.probabilities, atol=1e-4)


def test_scale_is_of_the_sensor(store, tmp_path) -> None:
    other = replace(MADE, scale=1000)
    train(
        store, tmp_path / "run", TrainConfig(backbone="test_resnet", epochs=1, batch_size=8),
        device="cpu",
    )  # fmt: skip
    arrays = pixels(np.random.default_rng(9), 1920, 1920, water=True)
    with pytest.raises(ProductError, match="sensor made of another scale; expected made, which"):
        geolulc.predict_scene(arrays, tmp_path / "run", offset=0, sensor=other, **PLACE, **CPU)
    broken = {name: array / 10_000 for name, array in arrays.items()}
    image = array_scene(broken, offset=0, sensor=other, **PLACE).images["red"]
    with pytest.raises(ProductError, match=r"1/1000 of reflectance.* by 1,000"):
        image.shrunk(slice(0, 9), slice(0, 9), (9, 9))
    lights = [Light.draw(np.random.default_rng(0), 5, sensor) for sensor in (MADE, other)]
    assert lights[0].names == ("green", "red", "near", "thermal")
    np.testing.assert_allclose(lights[0].path, 10 * lights[1].path, rtol=1e-6)
    np.testing.assert_array_equal(lights[0].gain, lights[1].gain)


def test_scenes_and_models_of_two_sensors_are_told_apart(store, tmp_path) -> None:
    train(
        store, tmp_path / "run", TrainConfig(backbone="test_resnet", epochs=1, batch_size=8),
        device="cpu",
    )  # fmt: skip
    arrays = pixels(np.random.default_rng(9), 1920, 1920, water=True)
    scene = array_scene(arrays, offset=0, **PLACE)
    with pytest.raises(ProductError, match="found a scene of the sensor sentinel2; expected made"):
        geolulc.predict_scene(scene, tmp_path / "run", **CPU)
    other = tmp_path / "other.store"
    write_store(other, patches(size=480), CLASSES, layout=PatchLayout(MADE, 480))
    with pytest.raises(DatasetError, match="patches of 480 m of the sensor made; expected 960 m"):
        evaluate(load_checkpoint(tmp_path / "run"), open_store(other), "val")


def test_patches_of_another_layout_are_refused(tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"p0: found arrays .*; expected uint16 .*120, 120"):
        write_store(tmp_path / "s", patches(), CLASSES, layout=PatchLayout(MADE, 1200))
    assert list(tmp_path.iterdir()) == []


def test_sensors_as_values() -> None:
    assert sensor_of(json.loads(json.dumps(MADE.as_mapping()))) == MADE
    assert SENTINEL2.bands == BANDS
    assert sensor_of(None) is SENTINEL2
    assert SENTINEL2.groups == {
        10: ("B02", "B03", "B04", "B08"),
        20: ("B05", "B06", "B07", "B8A", "B11", "B12"),
        60: ("B01", "B09"),
    }


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ((), "sensor x: found the bands"),
        ((Band("a", 10, 500), Band("a", 10, 600)), "short names, each once"),
        ((Band("a/b", 10, 500),), "short names"),
        ((Band("a", 10, 500), Band("b", 15, 600)), "of which each divides the next"),
        ((Band("a", 0, 500),), "whole metres"),
    ],
)
def test_sensors_that_cannot_be(bands, message) -> None:
    with pytest.raises(ParameterError, match=message):
        Sensor("x", bands)
    plain = {"id": "x", "scale": 1, "bands": [{"name": "a"}]}
    with pytest.raises(ParameterError, match="sensor: found no sound description"):
        sensor_of(plain)
