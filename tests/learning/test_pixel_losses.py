"""Losses, borders, figures and augmentation of pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_f1_score,
    multiclass_jaccard_index,
)

from geolulc.datasets.patch import BIGEARTHNET
from geolulc.errors import ParameterError
from geolulc.learning import TrainConfig
from geolulc.learning.augmentation import augment, draw
from geolulc.learning.calibration import fit_softmax_calibration
from geolulc.learning.pixel_losses import (
    make_pixel_loss,
    near_borders,
    pixel_weights,
    presence_loss,
)
from geolulc.learning.pixel_metrics import class_figures, overall_figures
from geolulc.learning.scoring import confusion_of

SHARES = torch.tensor([0.7, 0.2, 0.1, 0.0])


def made(count: int = 3, side: int = 24, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, 4, side, side) and truth with areas of three classes and of none."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, 4, side, side, generator=generator)
    blocks = torch.randint(0, 4, (count, side // 6, side // 6), generator=generator)
    truth = blocks.repeat_interleave(6, 1).repeat_interleave(6, 2).to(torch.uint8)
    truth[truth == 3] = 255
    return logits, truth


def pixels(**settings) -> TrainConfig:
    return TrainConfig(task="pixel", **settings)


class TestLosses:
    def test_cross_entropy_is_torchs_over_the_labelled_pixels_of_each_patch(self) -> None:
        logits, truth = made()
        found = make_pixel_loss(pixels(), SHARES, 10)(logits, truth)
        for one, z, t in zip(found, logits, truth, strict=True):
            expected = torch.nn.functional.cross_entropy(z[None], t[None].long(), ignore_index=255)
            assert torch.isclose(one, expected)

    def test_a_patch_without_a_class_costs_nothing(self) -> None:
        logits, truth = made(2)
        logits.requires_grad_()
        truth[0] = 255
        config = pixels(pixel_loss="ce+dice", ignore_border=20, label_smoothing=0.1)
        found = make_pixel_loss(config, SHARES, 10)(logits, truth)
        assert found[0] == 0
        found.sum().backward()
        assert torch.isfinite(logits.grad).all()
        assert not logits.grad[0].any()

    @pytest.mark.parametrize("settings", [
        {}, {"pixel_loss": "ce+dice"}, {"patch_loss": 0.5}, {"class_weights": "balanced"},
        {"ignore_border": 20}, {"label_smoothing": 0.1},
    ])  # fmt: skip
    def test_a_patch_costs_the_same_in_any_batch(self, settings) -> None:
        logits, truth = made()
        loss = make_pixel_loss(pixels(**settings), SHARES, 10)
        together = loss(logits, truth)
        alone = torch.cat([loss(logits[i : i + 1], truth[i : i + 1]) for i in range(3)])
        assert torch.allclose(together, alone, atol=1e-6)

    @pytest.mark.parametrize("settings", [{}, {"pixel_loss": "ce+dice"}])
    def test_being_right_costs_nothing_and_being_wrong_does(self, settings) -> None:
        _, truth = made()
        right = torch.full((3, 4, 24, 24), -30.0).scatter(
            1, truth.long().clamp(max=3)[:, None], 30.0
        )
        loss = make_pixel_loss(pixels(**settings), SHARES, 10)
        assert loss(right, truth).max() < 1e-4
        assert loss(right.roll(1, dims=1), truth).min() > 1

    def test_borders_are_not_learned_from(self) -> None:
        logits, truth = made()
        loss = make_pixel_loss(pixels(ignore_border=20), SHARES, 10)
        logits.requires_grad_()
        loss(logits, truth).sum().backward()
        touched = logits.grad.abs().sum(dim=1) > 0
        assert torch.equal(touched, (truth != 255) & ~near_borders(truth, 20, 10))

    def test_rare_classes_weigh_more_and_the_mean_stays_one(self) -> None:
        weights = pixel_weights(SHARES)
        assert weights[0] < weights[1] < weights[2]
        assert torch.isclose((weights * SHARES).sum(), torch.tensor(1.0))
        assert weights.max() <= 10

    def test_presence_asks_for_an_area_not_for_a_pixel(self) -> None:
        truth = torch.zeros(1, 24, 24, dtype=torch.int64)
        truth[:, 12:, 12:] = 1
        known = torch.ones_like(truth, dtype=torch.bool)
        p = torch.zeros(1, 2, 24, 24)
        p[:, 0] = 1
        missed = presence_loss(p, truth, known, 10)
        # elsewhere in the patch: where it is does not matter here, how much of it does
        p[:, :, :12, :12] = torch.tensor([0.0, 1.0])[:, None, None]
        assert presence_loss(p, truth, known, 10) < 1e-4
        p[:, :, :12, :12] = torch.tensor([0.5, 0.5])[:, None, None]
        assert 0.1 < presence_loss(p, truth, known, 10) < missed
        assert presence_loss(p, truth, ~known, 10) < 1e-4

    @pytest.mark.parametrize(("settings", "message"), [
        ({"loss": "focal"}, "loss: found 'focal' with the task pixel"),
        ({"mixup": 0.2}, "mixup"),
        ({"pixel_loss": "dice"}, "one of ce, ce"),
        ({"ignore_border": -1}, "0 to 600"),
        ({"ignore_border": 601}, "0 to 600"),
    ])  # fmt: skip
    def test_settings_of_the_other_task_are_refused(self, settings, message) -> None:
        with pytest.raises(ParameterError, match=message):
            pixels(**settings)
        if "ignore_border" not in settings and "pixel_loss" not in settings:
            assert TrainConfig(**settings).task == "patch"

    def test_a_patch_task_has_no_pixel_loss(self) -> None:
        with pytest.raises(ParameterError, match="ignore_border: found 20 with the task patch"):
            TrainConfig(ignore_border=20)


@pytest.mark.parametrize("metres", [0, 10, 20, 50])
def test_near_borders_is_the_distance_to_another_class(metres) -> None:
    _, truth = made(2, side=48, seed=4)
    near = near_borders(truth, metres, 10).numpy()
    for mask, found in zip(truth.numpy(), near, strict=True):
        nearest = np.full(mask.shape, np.inf)
        for value in np.unique(mask):
            own = mask == value
            nearest[own] = distance_transform_edt(own)[own]
        assert np.array_equal(found, nearest * 10 <= metres)


def test_figures_are_those_of_torchmetrics() -> None:
    logits, truth = made(4)
    mapped = logits.argmax(dim=1)
    confusion = confusion_of(mapped, truth, 4).numpy()
    found = class_figures(confusion)
    settings = {"num_classes": 4, "ignore_index": 255, "average": "none"}
    wanted = {
        "iou": multiclass_jaccard_index(mapped, truth.long(), **settings),
        "f1": multiclass_f1_score(mapped, truth.long(), **settings),
        "recall": multiclass_accuracy(mapped, truth.long(), **settings),
    }
    for name, values in wanted.items():
        assert np.allclose(found[name][:3], values[:3].numpy(), atol=1e-6)
        assert math.isnan(found[name][3])  # absent: no zero that would lower the mean
    overall = overall_figures(confusion)
    assert overall["miou"] == pytest.approx(float(wanted["iou"][:3].mean()), abs=1e-6)
    known = truth != 255
    assert overall["agreement"] == pytest.approx(float((mapped == truth)[known].double().mean()))
    assert confusion.sum() == int(known.sum())
    assert all(math.isnan(v) for v in overall_figures(np.zeros((4, 4), np.int64)).values())


def test_pixels_and_masks_move_together() -> None:
    """The coarse bands and the mask carry the place of each pixel; after turning they agree."""
    n = 16
    mask = torch.arange(400).view(1, 20, 20).repeat(n, 1, 1) % 251
    fine = mask.repeat_interleave(6, 1).repeat_interleave(6, 2)
    inputs = (fine[:, None].float(), fine[:, None, ::2, ::2].float(), mask[:, None].float())
    draws = draw(pixels(seed=3), 0, n, 12, BIGEARTHNET).of(np.arange(n))
    (x10, x20, x60), turned = augment(inputs, fine.to(torch.uint8), draws)
    assert turned.dtype == torch.uint8
    assert torch.equal(x10[:, 0], turned.float())
    # turned blocks of equal pixels: any of a block stands for it
    assert torch.equal(x20[:, 0], turned[:, ::2, ::2].float())
    assert torch.equal(x60[:, 0], turned[:, ::6, ::6].float())
    assert len({tuple(t.flatten()[:7].tolist()) for t in turned}) > 4


def test_the_temperature_undoes_what_made_logits_too_sure() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 5))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (p.cumsum(axis=1) > random.random((4000, 1))).argmax(axis=1)
    found = fit_softmax_calibration(3 * logits, truth)
    assert found.temperature == pytest.approx(3, rel=0.1)
    np.testing.assert_allclose(found.shifts, 0, atol=0.2)
    assert fit_softmax_calibration(logits[:0], truth[:0]).temperature == 1
