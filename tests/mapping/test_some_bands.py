"""A model of some bands: trained, kept, evaluated and mapped with these alone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from made_archives import make_store
from made_nets import NORMALISATION, make_net
from made_pixels import make_pixel_store
from made_product import make_product, random_bands

import geolulc
from geolulc.bands import BAND_NAMES, GROUPS, SENTINEL2
from geolulc.cli import cli
from geolulc.errors import ParameterError, ProductError
from geolulc.learning.config import TrainConfig
from geolulc.learning.training import train
from geolulc.mapping import predict_scene
from geolulc.nets import Model, NetConfig, build_net, load_checkpoint
from geolulc.nomenclature import BEN19
from geolulc.products import Jp2Image, array_scene, open_product

FOUR = ("B02", "B03", "B04", "B08")
NINE = (*FOUR, "B05", "B06", "B07", "B11", "B12")
CPU = {"device": "cpu", "mask_scl": ()}


def model_of(names: tuple[str, ...], **options) -> Model:
    net = build_net(
        NetConfig(backbone="test_resnet", **options),
        classes=BEN19.names,
        nomenclature=BEN19,
        normalisation=NORMALISATION,
        bands=SENTINEL2.select(names),
        seed=0,
    )
    return Model(net.eval(), name=f"of {len(names)} bands")


@pytest.fixture
def decoded(monkeypatch) -> Counter:
    """Band → tiles that were decoded of it."""
    counts: Counter = Counter()
    read = Jp2Image.read

    def counting(image, row, column, out):
        counts[next(n for n in (*BAND_NAMES, "SCL") if f"_{n}_" in image.path)] += 1
        read(image, row, column, out)

    monkeypatch.setattr(Jp2Image, "read", counting)
    return counts


KINDS = pytest.mark.parametrize("options", [
    {}, {"fusion": "intermediate"}, {"fusion": "late"}, {"trunk": "shallow"}, {"task": "pixel"},
    {"task": "pixel", "fusion": "intermediate"}, {"task": "pixel", "fusion": "late"},
], ids=str)  # fmt: skip
WAYS = pytest.mark.parametrize("way", [
    {}, {"resolution": 320}, {"stride": 600, "overlap": "shared"}, {"runtime": "onnx"},
    {"tta": True},
], ids=str)  # fmt: skip


@pytest.mark.parametrize("names", [FOUR, NINE, ("B04", "B8A", "B09"), ("B05", "B11")], ids=len)
@KINDS
def test_only_the_models_bands_are_decoded(tmp_path, decoded, names, options) -> None:
    if options.get("task") == "pixel" and "B04" not in names:
        with pytest.raises(ParameterError, match="found bands of 20 m and more; expected a band"):
            model_of(names, **options)
        return
    bands = random_bands(4260, 3660)
    found = predict_scene(make_product(tmp_path, bands), model_of(names, **options), **CPU)
    # 426 × 366, 213 × 183 and 71 × 61 pixels in tiles of 250, 130 and 50
    tiles = {10: 4, 20: 4, 60: 4}
    expected = {n: tiles[r] for r, group in SENTINEL2.select(names).items() for n in group}
    assert decoded == expected
    assert not np.isnan(found.block.probabilities).any()


@WAYS
def test_what_is_not_read_does_not_matter(tmp_path, way) -> None:
    """Other pixels, no data or no file at all in bands that the model does not see."""
    bands = random_bands(4800, 4800)
    path, model = make_product(tmp_path / "a", bands), model_of(FOUR)
    expected = predict_scene(path, model, **CPU, **way).block
    for name in set(BAND_NAMES) - set(FOUR):
        bands[name][:] = 0
    other = make_product(tmp_path / "b", bands)
    next(other.rglob("*_B12_20m.jp2")).unlink()
    next(other.rglob("*_B8A_20m.jp2")).unlink()
    found = predict_scene(other, model, **CPU, **way).block
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    np.testing.assert_array_equal(found.valid, expected.valid)
    with pytest.raises(ProductError, match=r"no image of B8A, B12; expected .*which of 12 bands"):
        predict_scene(other, model_of(BAND_NAMES), **CPU)


def test_a_pixel_is_valid_where_the_bands_that_are_read_have_data() -> None:
    bands = random_bands()
    bands["B09"][:20] = 0
    place = {"offset": 0, "crs": 32632, "transform": (10, 0, 600_000, 0, -10, 5_200_020)}
    whole = geolulc.predict_scene(bands, model_of(BAND_NAMES), **place, **CPU)
    some = geolulc.predict_scene(bands, model_of(FOUR), **place, **CPU)
    assert whole.valid.values.tolist() == [[0, 0], [1, 1]]
    assert some.valid.values.tolist() == [[1, 1], [1, 1]]


def test_models_of_different_bands_are_averaged(tmp_path, decoded) -> None:
    product = open_product(make_product(tmp_path, random_bands()))
    models = [model_of(FOUR), model_of(NINE)]
    alone = [predict_scene(product, model, **CPU).block.probabilities for model in models]
    decoded.clear()
    both = predict_scene(product, models, **CPU).block.probabilities
    np.testing.assert_allclose(both, np.mean(alone, axis=0), atol=1e-6)
    assert set(decoded) == set(NINE)


def test_twelve_bands_by_name_are_the_default() -> None:
    net = model_of(BAND_NAMES).net
    assert dict(net.bands) == dict(GROUPS)
    patch = [torch.full((1, *shape), 900, dtype=torch.int32) for shape in net.shapes]
    assert torch.equal(net(*patch), make_net().eval()(*patch))


@pytest.mark.parametrize("task", ["patch", "pixel"])
def test_train_evaluate_and_map(tmp_path, task) -> None:
    if task == "pixel":
        store = make_pixel_store(tmp_path / "s.store")
    else:
        store = make_store(tmp_path / "s.store", 40)
    run = tmp_path / "run"
    config = TrainConfig(
        task=task, backbone="test_resnet", epochs=1, batch_size=4, bands="B02,b03, B4,B08",
        spectral_jitter=0.1,
    )  # fmt: skip
    train(store, run, config, device="cpu")
    model = load_checkpoint(run)
    assert dict(model.net.bands) == {10: FOUR}
    assert set(model.net.normalisation.mean) == set(FOUR)
    arguments = ["evaluate", str(run), str(store), "--split", "val", "--json", "--device", "cpu"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    scene = array_scene(
        {name: pixels for name, pixels in random_bands().items() if name in FOUR},
        offset=0, crs=32632, transform=(10, 0, 600_000, 0, -10, 5_200_020),
    )  # fmt: skip
    found = predict_scene(scene, model, device="cpu")
    assert not np.isnan(found.block.probabilities).any()
    described = json.loads(CliRunner().invoke(cli, ["info", str(run), "--json"]).output)
    assert described["bands"] == {"10 m": list(FOUR)}


def test_settings(tmp_path: Path) -> None:
    assert TrainConfig(bands="B8A, b2").names(SENTINEL2) == ("B8A", "B02")
    assert TrainConfig().names(SENTINEL2) == BAND_NAMES
    with pytest.raises(ParameterError, match="band 'B10': found no such band"):
        TrainConfig(bands="B02,B10").names(SENTINEL2)
