from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import fbeta_score

from geolulc.learning import metrics
from geolulc.learning.calibration import best_threshold, choose_thresholds, fit_temperature


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_temperature_is_found_again(true_temperature) -> None:
    random = np.random.default_rng(0)
    honest = random.normal(-1, 1.5, (20_000, 3))
    targets = (random.random(honest.shape) < expit(honest)).astype(np.float32)
    found = fit_temperature(honest * true_temperature, targets)
    assert found == pytest.approx(true_temperature, rel=0.03)
    before = metrics.calibration_error(targets, expit(honest * true_temperature))
    after = metrics.calibration_error(targets, expit(honest * true_temperature / found))
    assert after <= before + 1e-3
    assert after < 0.01


def test_temperature_without_patches_is_one() -> None:
    assert fit_temperature(np.zeros((0, 3)), np.zeros((0, 3))) == 1.0


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
