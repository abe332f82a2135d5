"""A made sensor of two resolutions goes the whole way: store, training, evaluation, map."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from click.testing import CliRunner

import geolulc
from geolulc.bands import BANDS, SENTINEL2, Band, Sensor, sensor_of
from geolulc.cli import cli
from geolulc.datasets import Patch, PatchLayout, open_store, write_store
from geolulc.errors import DatasetError, ParameterError, ProductError
from geolulc.learning.config import TrainConfig
from geolulc.learning.evaluation import evaluate
from geolulc.learning.training import train
from geolulc.nets import load_checkpoint
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


def pixels(rng: np.random.Generator, height: int, width: int, water: bool) -> dict[str, np.ndarray]:
    """Bands of water, dark beyond the visible, or of trees."""
    return {
        b.name: rng.integers(100, 400, (height // b.resolution, width // b.resolution)).astype(
            np.uint16
        )
        + np.uint16(0 if water and b.resolution == 30 else 1500)
        for b in MADE.bands
    }


def patches(count: int = 24, size: int = 960) -> Iterator[Patch]:
    rng = np.random.default_rng(0)
    for index in range(count):
        water = index % 2 == 0
        bands = pixels(rng, size, size, water)
        yield Patch(
            key=f"p{index}", dataset="made",
            dn={r: np.stack([bands[n] for n in names]) for r, names in MADE.groups.items()},
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
