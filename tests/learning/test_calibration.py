from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit, softmax
from sklearn.metrics import fbeta_score

from geolulc.errors import ParameterError
from geolulc.learning import TrainConfig, metrics
from geolulc.learning.calibration import (
    best_threshold,
    choose_thresholds,
    fit_calibration,
    fit_softmax_calibration,
)
from geolulc.learning.losses import make_loss
from geolulc.learning.pixel_losses import pixel_weights, weight_shifts
from geolulc.nets import Calibration

#: How often classes occur, as in BigEarthNet: from one patch in 300 to nearly half of them.
FREQUENCIES = np.geomspace(0.003, 0.45, 19)


def ideal_logits(p: np.ndarray, config: TrainConfig, frequencies: np.ndarray) -> np.ndarray:
    """Logits (n, C) of a network that minimises the loss of ``config`` where ``p`` is known."""
    loss = make_loss(config, torch.from_numpy(frequencies.astype(np.float32)))
    grid = torch.linspace(-12, 12, 1201)
    known = np.linspace(0.0005, 0.9995, 500)
    result = np.empty_like(p)
    for c in range(p.shape[1]):
        own = torch.arange(p.shape[1]) == c
        logits = torch.where(own, grid[:, None], 0.0)
        present, absent = (
            loss(logits, torch.where(own, y, 0.5).expand_as(logits)).double().numpy()
            for y in (1.0, 0.0)
        )
        expected = np.outer(known, present) + np.outer(1 - known, absent)
        result[:, c] = np.interp(p[:, c], known, grid.numpy()[expected.argmin(axis=1)])
    return result


@pytest.mark.parametrize("weights", ["none", "balanced"])
@pytest.mark.parametrize("loss", ["bce", "focal", "asl"])
def test_probabilities_are_calibrated_whatever_the_loss_was(loss, weights) -> None:
    random = np.random.default_rng(0)
    true_logits = 1.3 * logit(FREQUENCIES) + random.normal(0, 2, (4000, 19))
    p = expit(true_logits)
    frequencies = p.mean(axis=0)
    raw = ideal_logits(p, TrainConfig(loss=loss, class_weights=weights), frequencies)
    fitted, held_out = (random.random((2, *p.shape)) < p).astype(np.float32)
    calibration = fit_calibration(raw, fitted)
    said = expit(calibration.logits(raw))
    assert said.sum() == pytest.approx(fitted.sum(), rel=1e-3)
    frequent = fitted.sum(axis=0) >= 40
    np.testing.assert_allclose(said.sum(axis=0)[frequent], fitted.sum(axis=0)[frequent], rtol=0.05)
    assert metrics.calibration_error(held_out, said) <= 0.03
    by_class = metrics.calibration_by_class(held_out, said)
    assert metrics.macro(by_class["ece"]) <= 0.03
    if loss == "asl":
        # one temperature leaves what the loss has added
        assert metrics.calibration_error(held_out, expit(raw)) > 0.15


def test_a_class_with_few_positives_stays_near_the_others() -> None:
    random = np.random.default_rng(1)
    p = expit(random.normal(-1, 1.5, (2000, 3)))
    targets = (random.random(p.shape) < p).astype(np.float32)
    raw = 2 * logit(p) + 1.5  # calibrated by 0.5 · z - 0.75
    targets[:, 2] = 0  # never seen
    few = fit_calibration(raw[:, [0, 1, 1]], targets)
    assert 1 / few.temperature * few.slopes[0] == pytest.approx(0.5, rel=0.1)
    assert few.shifts[0] == pytest.approx(-0.75, abs=0.15)
    # free, the last class would shift without end
    assert -8 < few.shifts[2] < -2
    assert few.slopes[2] == pytest.approx(few.slopes[0], rel=0.6)
    assert expit(few.logits(raw[:, [0, 1, 1]])).sum() == pytest.approx(targets.sum(), rel=1e-3)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_again(scale) -> None:
    random = np.random.default_rng(0)
    honest = random.normal(-1, 1.5, (20_000, 3))
    targets = (random.random(honest.shape) < expit(honest)).astype(np.float32)
    found = fit_calibration(honest * scale, targets)
    assert found.temperature == pytest.approx(scale, rel=0.03)
    np.testing.assert_allclose(found.slopes, 1, atol=0.05)
    np.testing.assert_allclose(found.shifts, 0, atol=0.1)


def test_without_patches_logits_stay() -> None:
    assert fit_calibration(np.zeros((0, 3)), np.zeros((0, 3))) == Calibration()


def test_a_closed_class_stays_closed() -> None:
    random = np.random.default_rng(2)
    raw = random.normal(-1, 1, (300, 3))
    targets = (random.random(raw.shape) < expit(raw)).astype(np.float32)
    raw[:, 1], targets[:, 1] = -100.0, 0.0
    found = fit_calibration(raw, targets)
    assert expit(found.logits(raw))[:, 1].max() < 1e-3


def test_class_weights_are_divided_out() -> None:
    """The optimum of weighted cross-entropy is softmax ∝ weight · p."""
    random = np.random.default_rng(3)
    shares = np.array([0.8, 0.165, 0.03, 0.005])
    p = softmax(random.normal(0, 1.5, (30_000, 4)) + 1.2 * np.log(shares), axis=1)
    truth = (p.cumsum(axis=1) > random.random((len(p), 1))).argmax(axis=1)
    counts = np.bincount(truth, minlength=4)
    config = TrainConfig(task="pixel", class_weights="balanced")
    observed = (counts / counts.sum()).astype(np.float32)
    shifts = weight_shifts(config, observed)
    weights = pixel_weights(torch.from_numpy(observed)).numpy()
    np.testing.assert_allclose(shifts, -np.log(weights), rtol=1e-6)
    raw = np.log(p * weights)
    assert softmax(raw, axis=1).sum(axis=0)[3] > 1.5 * counts[3]
    for known in (shifts, None):  # what is not known beforehand (Dice) is found
        found = fit_softmax_calibration(raw, truth, known)
        said = softmax(found.logits(raw), axis=1)
        np.testing.assert_allclose(said.sum(axis=0), counts, rtol=0.05)
    none = weight_shifts(TrainConfig(task="pixel"), observed)
    assert (none == 0).all()


def test_a_calibration_is_the_same_for_arrays_and_tensors() -> None:
    calibration = Calibration(2.0, (1.0, 0.5, 2.0), (0.0, 1.0, -1.0))
    z = np.arange(12, dtype=np.float32).reshape(4, 3)
    expected = z / 2 * [1, 0.5, 2] + [0, 1, -1]
    np.testing.assert_allclose(calibration.logits(z), expected)
    np.testing.assert_allclose(calibration.logits(torch.from_numpy(z)).numpy(), expected)
    maps = torch.from_numpy(z)[:, :, None, None].expand(4, 3, 2, 5)
    assert torch.allclose(
        calibration.logits(maps, axis=1), torch.from_numpy(expected)[:, :, None, None].float()
    )
    for wrong in (Calibration(0.0), Calibration(1.0, (1.0,)), Calibration(shifts=(np.nan,) * 3)):
        with pytest.raises(ParameterError, match="calibration of made"):
            wrong.require("made", 3)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=30),
    st.sampled_from([0.5, 1.0, 2.0]),
)
def test_no_other_threshold_has_a_higher_f(pairs, beta) -> None:
    truth = np.array([t for t, _ in pairs], np.float32)
    scores = np.array([s / 20 for _, s in pairs])
    cut = best_threshold(truth, scores, beta)
    if not truth.any():
        assert cut == 0.5
        return

    def f(threshold: float) -> float:
        return fbeta_score(truth, scores >= threshold, beta=beta, zero_division=0.0)

    assert 0 <= cut <= 1
    assert f(cut) == pytest.approx(max(f(t) for t in np.unique(scores)))


def test_a_class_with_few_positives_shares_a_threshold() -> None:
    random = np.random.default_rng(1)
    targets = np.zeros((100, 3), np.float32)
    targets[:40, 0] = targets[:3, 1] = targets[:5, 2] = 1
    scores = np.clip(targets * 0.3 + random.random(targets.shape) * 0.5, 0, 1)
    own, shared, also_shared = choose_thresholds(targets, scores)
    assert own == best_threshold(targets[:, 0], scores[:, 0], 1.0)
    assert shared == also_shared == best_threshold(targets.ravel(), scores.ravel(), 1.0)
