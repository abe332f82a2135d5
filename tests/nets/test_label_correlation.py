"""Label correlation: what the matrix says, and that it acts on a patch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from geolulc.errors import ParameterError
from geolulc.nets.label_correlation import LabelCorrelation, log_odds_of


def shares_of(targets: np.ndarray) -> np.ndarray:
    return targets.T @ targets / len(targets)


def test_signs_follow_the_data() -> None:
    rng = np.random.default_rng(0)
    a = rng.random(5000) < 0.4
    targets = np.stack([a, a, ~a, rng.random(5000) < 0.3], axis=1).astype(float)
    odds = log_odds_of(shares_of(targets))
    assert odds[0, 1] == 4  # always together: cut
    assert odds[0, 2] == -4  # never together
    assert abs(odds[0, 3]) < 0.3  # independent
    np.testing.assert_array_equal(np.diag(odds), 0)


def test_log_odds_ratio_of_common_classes() -> None:
    shares = np.array([[0.5, 0.3], [0.3, 0.4]])
    # P(1|0) = 0.6, P(1|not 0) = 0.2
    expected = np.log(0.6 / 0.4) - np.log(0.2 / 0.8)
    assert log_odds_of(shares)[0, 1] == pytest.approx(expected, abs=0.06)


def test_classes_that_never_occur_say_nothing() -> None:
    shares = np.array([[0.5, 0.0], [0.0, 0.0]])
    odds = log_odds_of(shares)
    assert np.isfinite(odds).all()
    assert abs(odds[1, 0]) < 1e-3


def test_a_class_believed_in_as_often_as_it_occurs_shifts_nothing() -> None:
    layer = LabelCorrelation(2)
    layer.set_cooccurrence(np.array([[0.5, 0.45], [0.45, 0.5]]))
    logits = torch.zeros(1, 2)
    torch.testing.assert_close(layer(logits), logits)
    shifted = layer(torch.tensor([[4.0, 0.0], [-4.0, 0.0]]))
    assert shifted[0, 1] > 0.3
    assert shifted[1, 1] < -0.3


def test_it_carries_information_in_training_and_evaluation_alike() -> None:
    layer = LabelCorrelation(3)
    layer.set_cooccurrence(np.array([[0.5, 0.4, 0.0], [0.4, 0.5, 0.1], [0.0, 0.1, 0.3]]))
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(layer.train()(logits), layer.eval()(logits))
    assert (layer(logits) - logits).std(dim=0).min() > 0  # not one constant for all patches


def test_the_form_of_the_seed_carries_nothing() -> None:
    """One constant vector through a BatchNorm: zero in training, the same for every patch."""
    vector = torch.rand(361, generator=torch.Generator().manual_seed(0))
    norm = torch.nn.BatchNorm1d(361)
    in_training = norm(vector.expand(8, -1))
    torch.testing.assert_close(in_training, torch.zeros(8, 361), atol=1e-4, rtol=0)
    in_evaluation = norm.eval()(vector.expand(8, -1))
    assert torch.equal(in_evaluation, in_evaluation[:1].expand(8, -1))


@pytest.mark.parametrize(
    "bad",
    [
        np.ones(3),
        np.ones((2, 3)),
        np.full((2, 2), np.nan),
        np.array([[0.5, 0.6], [0.6, 0.5]]),
        np.array([[5.0, 1.0], [1.0, 4.0]]),
        np.array([[0.5, 0.1], [0.2, 0.5]]),
    ],
)
def test_other_matrices_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ParameterError, match="no matrix of shares"):
        log_odds_of(bad)
