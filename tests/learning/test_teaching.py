"""Learning from a teacher: soft targets, views in other light, and the runs."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from made_archives import make_patch, make_store
from made_pixel_nets import Itself, make_pixel_model
from made_pixels import make_pixel_store

from geolulc.bands import BAND_NAMES, GROUPS, SENTINEL2
from geolulc.cli import cli
from geolulc.datasets import open_store
from geolulc.datasets.patch import Patch
from geolulc.errors import ParameterError
from geolulc.learning import TrainConfig, train
from geolulc.learning.light import Light, in_light
from geolulc.learning.objective import _public
from geolulc.learning.patches import SplitPatches
from geolulc.learning.pixel_losses import taught_loss
from geolulc.learning.teaching import TaughtPatches
from geolulc.maps.encoding import FULL
from geolulc.nets import (
    Model,
    NetConfig,
    Normalisation,
    build_net,
    load_checkpoint,
    save_checkpoint,
)
from geolulc.nomenclature import IGNORED

CPU = torch.device("cpu")
QUICK = TrainConfig(
    task="pixel", backbone="test_resnet", trunk="shallow", epochs=2, batch_size=2, crop=48,
    learning_rate=3e-3, ema_decay=0.5, teacher_views=3, light_jitter=0.3, workers=0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return make_pixel_store(tmp_path_factory.mktemp("taught") / "made.store")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Path:
    """A checkpoint of four classes of another nomenclature than the store's."""
    net = build_net(
        NetConfig(task="pixel", backbone="test_resnet", trunk="shallow"),
        classes=("Water", "Trees", "Grass", "Crops"),
        nomenclature="dynamicworld",
        normalisation=Normalisation(
            dict.fromkeys(BAND_NAMES, 1000.0), dict.fromkeys(BAND_NAMES, 800.0)
        ),
        seed=3,
    )
    file = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_checkpoint(file, Model(net.eval(), name="four", provenance={"licence": "CC0"}))
    return file


def test_light_is_a_gain_and_a_path_and_two_changes_are_one() -> None:
    random = np.random.default_rng(0)
    first, second = (Light.draw(random, 3, SENTINEL2) for _ in range(2))
    ground = np.full((3, 12), 1000, np.float32)
    once = first.gain * ground + first.path
    np.testing.assert_allclose(
        first.then(second).gain * ground + first.then(second).path,
        second.gain * once + second.path,
        rtol=1e-5,
    )
    none = Light.draw(random, 3, SENTINEL2, strength=0.0)
    assert (none.gain == 1).all()
    assert (none.path == 0).all()


def test_haze_falls_with_the_wavelength() -> None:
    light = Light.draw(np.random.default_rng(1), 400, SENTINEL2)
    sizes = [np.abs(light.band(name)[1]).mean() for name in ("B02", "B03", "B04", "B08", "B12")]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == pytest.approx(60 * 2**0.5 * (2 / np.pi) ** 0.5, rel=0.1)
    gains = np.log(np.stack([light.band(name)[0] for name in ("B02", "B04", "B08")]))
    # the visible bands change together, the near infrared less with them
    assert np.corrcoef(gains)[0, 1] > 0.8 > np.corrcoef(gains)[0, 2]


def test_a_network_sees_reflectance_in_other_light_and_missing_pixels_stay_missing() -> None:
    net = make_pixel_model(Itself(), mean=500.0, std=250.0).net
    raw = [torch.full((2, len(GROUPS[r]), 120 * 10 // r, 120 * 10 // r), 800) for r in GROUPS]
    raw[0][0, :, :6, :6] = 0
    inputs = net.preprocess(*raw)
    gain, path = np.full((2, 12), 1.5, np.float32), np.full((2, 12), -100, np.float32)
    x10, x20, _ = in_light(net, inputs, Light(gain, path, net.band_names))
    expected = (1.5 * 800 - 100 - 500) / 250
    torch.testing.assert_close(x10[1], torch.full_like(x10[1], expected))
    torch.testing.assert_close(x20[1], torch.full_like(x20[1], expected))
    assert (x10[0, :, :6, :6] == 0).all()


def test_the_loss_is_the_divergence_from_the_teacher_over_known_pixels() -> None:
    torch.manual_seed(0)
    said = torch.softmax(torch.randn(2, 3, 4, 5), dim=1)
    assert taught_loss(said.log(), said).abs().max() < 1e-6
    logits = torch.randn(2, 3, 4, 5)
    whole = torch.nn.functional.kl_div(logits.log_softmax(1), said, reduction="none").sum(1)
    torch.testing.assert_close(taught_loss(logits, said), whole.mean(dim=(1, 2)))
    said[0, :, :2] = 0
    torch.testing.assert_close(taught_loss(logits, said)[0], whole[0, 2:].mean())
    assert taught_loss(logits[:1], torch.zeros(1, 3, 4, 5)) == 0


def test_the_targets_are_what_the_teacher_says_and_it_is_asked_once(store: Path) -> None:
    model = make_pixel_model(Itself())
    asked: list[int] = []
    opened = open_store(store)
    patches = TaughtPatches(
        opened, "train", teacher=model, views=2, device=CPU, progress=lambda d, _: asked.append(d)
    )
    assert asked[-1] == 2 * len(patches)
    red = np.stack([opened.read(i).dn[10][GROUPS[10].index("B04")] for i in patches.indices])
    share = np.clip(red / 32768, 1e-6, 1)
    np.testing.assert_allclose(patches.soft[0][:, 1] / FULL, share, atol=0.51 / FULL)
    np.testing.assert_array_equal(patches.truths(np.arange(1))[0], share[0] > 0.5)
    again = TaughtPatches(
        opened, "train", teacher=model, views=2, device=CPU, progress=lambda d, _: asked.append(d)
    )
    assert asked.count(asked[-1]) == 1
    np.testing.assert_array_equal(again.soft, patches.soft)
    assert patches.identity() != SplitPatches(opened, "train").identity()


def test_lessons_and_light_are_of_the_same_view(store: Path) -> None:
    model = make_pixel_model(Itself())
    patches = TaughtPatches(open_store(store), "train", teacher=model, views=4, device=CPU)
    batch = next(iter(patches.loader(3, device=CPU)))
    here = patches.places(batch)
    config = TrainConfig(task="pixel")
    seen = in_light(
        model.net, model.net.preprocess(*batch.groups), patches.light(config, 5).of(here)
    )
    said = model.probabilities(model.net.classify(*seen))
    torch.testing.assert_close(patches.lessons(batch, 5), said.detach(), atol=0.51 / FULL, rtol=0)
    assert len({patches._chosen(e).tobytes() for e in range(5)}) > 1


def test_what_has_no_data_is_not_learned(tmp_path) -> None:
    def hollow(index: int) -> Patch:
        patch = make_patch(index)
        patch.dn[10][:, 7, 9] = 0
        return patch

    store = open_store(make_store(tmp_path / "hollow.store", 4, patch=hollow))
    patches = TaughtPatches(store, "train", teacher=make_pixel_model(Itself()), device=CPU)
    unknown = patches.truths(np.arange(len(patches))) == IGNORED
    assert unknown[:, 7, 9].all()
    assert unknown.sum() == len(patches)


def test_a_teacher_is_shown_another_store_where_that_has_the_ground(tmp_path) -> None:
    def brighter(index: int) -> Patch:
        patch = make_patch(index + 2)
        return replace(patch, dn={r: np.full_like(v, 20_000) for r, v in patch.dn.items()})

    store = open_store(make_store(tmp_path / "own.store", 6, patch=make_patch))
    sight = open_store(make_store(tmp_path / "other.store", 4, patch=brighter))
    model = make_pixel_model(Itself())
    patches = TaughtPatches(store, "train", teacher=model, sight=sight, device=CPU)
    shown = patches._twins >= 0
    assert 0 < shown.sum() < len(patches)
    np.testing.assert_allclose(patches.soft[0][shown, 1] / FULL, 20_000 / 32768, atol=0.51 / FULL)
    alone = TaughtPatches(store, "train", teacher=model, device=CPU)
    np.testing.assert_array_equal(patches.soft[0][~shown], alone.soft[0][~shown])
    assert patches.identity() != alone.identity()


def test_a_student_has_the_classes_of_its_teacher(store, teacher, tmp_path) -> None:
    result = CliRunner().invoke(
        cli,
        ["train", str(store), str(tmp_path / "run"), "--teacher", str(teacher), "-q",
         "--set", "trunk=shallow", "--backbone", "test_resnet", "--epochs", "2",
         "--batch-size", "2", "--set", "teacher_views=2"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    student = load_checkpoint(tmp_path / "run")
    assert student.net.classes == ("Water", "Trees", "Grass", "Crops")
    assert student.net.nomenclature.id == "dynamicworld"
    assert student.net.level == "L2A"
    said = student.provenance["teacher"]
    assert (said["name"], said["licence"]) == ("four", "CC0")
    assert said["sha256"] == load_checkpoint(teacher).sha256
    assert student.calibration.temperature == 1


def test_a_student_learns_and_a_run_that_was_stopped_ends_alike(store, teacher, tmp_path) -> None:
    config = QUICK.changed({"teacher": str(teacher), "epochs": 6})
    train(store, tmp_path / "run", config)
    with (tmp_path / "run" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["train_loss"]) < 0.7 * float(rows[0]["train_loss"])
    again = train(store, tmp_path / "again", config)
    assert again["figures"]["val_agreement"] == float(rows[again["epoch"] - 1]["val_agreement"])


def test_what_goes_on_with_its_last_layer_begins_as_it_was(store, tmp_path) -> None:
    own = "dynamicworld-student"
    ran = train(store, tmp_path / "run", QUICK.changed({
        "fusion": "dynamicworld", "backbone": "dynamicworld", "trunk": "whole", "pretrained": own,
        "teacher": own, "epochs": 1, "learning_rate": 1e-12,
    }))  # fmt: skip
    # of a fresh last layer, or another bias, the teacher's classes would be others
    assert ran["figures"]["val_agreement"] > 0.99


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"pixel_loss": "ce+dice"}, "with a teacher"),
        ({"class_weights": "balanced"}, "with a teacher"),
        ({"task": "patch", "crop": 0}, "with the task patch"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, found) -> None:
    with pytest.raises(ParameterError, match=found):
        QUICK.changed({"teacher": "four", **settings})


def test_a_teacher_of_patches_is_refused(store, tmp_path) -> None:
    with pytest.raises(ParameterError, match="expected a model of pixels"):
        train(store, tmp_path / "run", QUICK.changed({"teacher": "bigearthnet-few-patches"}))
    assert not (tmp_path / "run").exists()


def test_settings_in_a_checkpoint_name_no_folder_of_this_machine(tmp_path) -> None:
    weights = tmp_path / "some" / "weights.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"")
    assert _public(str(weights)) == "weights.safetensors"
    for value in ("dynamicworld", "BIFOLD-BigEarthNetv2-0/resnet50", "", 8, None):
        assert _public(value) == value
