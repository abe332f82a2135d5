"""Every figure against scikit-learn's function called directly, or torchmetrics'."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torchmetrics.functional import classification as tm

from geolulc.learning import metrics


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray]:
    """Targets (400, 7) with rare and frequent classes, and scores with ties that know them."""
    random = np.random.default_rng(3)
    targets = (random.random((400, 7)) < [0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.4]).astype(np.float32)
    scores = np.clip(0.4 * targets + random.normal(0.3, 0.2, targets.shape), 0, 1)
    return targets, np.round(scores, 2)


def test_average_precision_equals_torchmetrics(scored) -> None:
    targets, scores = scored
    expected = tm.multilabel_average_precision(
        torch.tensor(scores), torch.tensor(targets).int(), 7, average="none"
    )
    found = metrics.average_precision(targets, scores)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert metrics.macro(found) == pytest.approx(float(expected.mean()), rel=1e-6)
    micro = tm.multilabel_average_precision(
        torch.tensor(scores), torch.tensor(targets).int(), 7, average="micro"
    )
    assert metrics.micro_average_precision(targets, scores) == pytest.approx(float(micro), rel=1e-6)


def test_ranking_figures_equal_torchmetrics(scored) -> None:
    targets, scores = scored
    # torchmetrics orders tied scores as they come: only scores without ties compare
    scores = scores + np.random.default_rng(0).random(scores.shape) * 1e-3
    p, t = torch.tensor(scores), torch.tensor(targets).int()
    found = metrics.ranking_figures(targets, scores)
    coverage = float(tm.multilabel_coverage_error(p, t, 7))
    loss = float(tm.multilabel_ranking_loss(p, t, 7))
    lrap = float(tm.multilabel_ranking_average_precision(p, t, 7))
    assert found["coverage_error"] == pytest.approx(coverage, rel=1e-6)
    assert found["ranking_loss"] == pytest.approx(loss, rel=1e-5)
    assert found["lrap"] == pytest.approx(lrap, rel=1e-6)


def test_ranking_figures_equal_scikit_learn_with_ties(scored) -> None:
    targets, scores = (a.copy() for a in scored)
    targets[:5] = 0
    targets[5:9] = 1
    scores[9:30] = np.round(scores[9:30], 1)
    assert metrics.ranking_figures(targets, scores) == pytest.approx(
        {
            "coverage_error": sk.coverage_error(targets, scores),
            "ranking_loss": sk.label_ranking_loss(targets, scores),
            "lrap": sk.label_ranking_average_precision_score(targets, scores),
        }
    )


def test_ties_are_wrong_pairs() -> None:
    # a positive tied with a negative is a wrong pair, and both must be covered
    found = metrics.ranking_figures(np.array([[1.0, 0, 0]]), np.array([[0.5, 0.5, 0.1]]))
    assert found == {"coverage_error": 2.0, "ranking_loss": 0.5, "lrap": 0.5}


@pytest.mark.parametrize("mean", ["macro", "micro", "samples"])
def test_decision_figures_equal_scikit_learn(scored, mean) -> None:
    targets, scores = scored
    decisions = scores >= 0.45
    found = metrics.decision_figures(targets, decisions)
    options = {"average": mean, "zero_division": 0.0}
    for name, beta in (("f1", 1), ("f2", 2)):
        expected = sk.fbeta_score(targets, decisions, beta=beta, **options)
        assert found[f"{name}_{mean}"] == pytest.approx(expected)
    assert found[f"precision_{mean}"] == sk.precision_score(targets, decisions, **options)
    assert found[f"recall_{mean}"] == sk.recall_score(targets, decisions, **options)
    if mean == "micro":
        assert metrics.micro_f1(targets, decisions) == pytest.approx(found["f1_micro"])
    assert found["hamming_loss"] == pytest.approx(sk.hamming_loss(targets, decisions))
    assert found["exact_match"] == sk.accuracy_score(targets, decisions)


def test_class_figures_equal_scikit_learn(scored) -> None:
    targets, scores = scored
    decisions = scores >= 0.45
    found = metrics.class_figures(targets, scores, decisions)
    options = {"average": None, "zero_division": 0.0}
    np.testing.assert_array_equal(found["support"], targets.sum(axis=0))
    np.testing.assert_array_equal(found["predicted"], decisions.sum(axis=0))
    np.testing.assert_allclose(found["f1"], sk.fbeta_score(targets, decisions, beta=1, **options))
    np.testing.assert_allclose(found["f2"], sk.fbeta_score(targets, decisions, beta=2, **options))
    np.testing.assert_allclose(
        found["precision"], sk.precision_score(targets, decisions, **options)
    )
    np.testing.assert_allclose(found["recall"], sk.recall_score(targets, decisions, **options))


def test_calibration_error_equals_torchmetrics(scored) -> None:
    targets, scores = scored
    # torchmetrics has a bin of its own for 1.0
    scores = np.clip(scores + 0.003, 0, 0.999)
    expected = tm.binary_calibration_error(
        torch.tensor(scores.ravel()), torch.tensor(targets.ravel()).int(), n_bins=15, norm="l1"
    )
    assert metrics.calibration_error(targets, scores) == pytest.approx(float(expected), abs=1e-6)


def test_perfectly_calibrated_scores_have_no_calibration_error() -> None:
    targets = np.array([[1, 0, 0, 0]] * 25, np.float32)
    assert metrics.calibration_error(targets, np.full((25, 4), 0.25)) == pytest.approx(0)


def test_a_class_without_a_positive_is_nan_and_out_of_macro(scored) -> None:
    targets, scores = (a.copy() for a in scored)
    targets[:, 2] = 0
    others = [0, 1, 3, 4, 5, 6]
    by_class = metrics.average_precision(targets, scores)
    assert math.isnan(by_class[2])
    assert metrics.macro(by_class) == pytest.approx(by_class[others].mean())
    decisions = scores >= 0.45
    found = metrics.decision_figures(targets, decisions)
    expected = sk.f1_score(targets[:, others], decisions[:, others], average="macro")
    assert found["f1_macro"] == pytest.approx(expected)
    # micro still counts its false alarms
    assert found["f1_micro"] == pytest.approx(sk.f1_score(targets, decisions, average="micro"))
    table = metrics.class_figures(targets, scores, decisions)
    assert math.isnan(table["f1"][2])
    assert table["support"][2] == 0


def test_one_class_with_a_positive_and_none_at_all() -> None:
    one = np.array([[1.0, 0], [0, 0], [1, 0]], np.float32)
    found = metrics.decision_figures(one, np.array([[True, False], [True, False], [False, False]]))
    assert found["f1_macro"] == found["f1_micro"] == 0.5
    none = np.zeros((3, 2), np.float32)
    assert math.isnan(metrics.macro(metrics.average_precision(none, none)))
    assert math.isnan(metrics.micro_average_precision(none, none))
    assert math.isnan(metrics.decision_figures(none, none > 0)["f1_macro"])


def test_seed_figures_are_those_of_thresholded_predictions(scored) -> None:
    targets, scores = scored
    cut = (scores > 0.5).astype(int)
    found = metrics.seed_ranking_figures(targets, scores)
    assert found["coverage_error_seed"] == pytest.approx(sk.coverage_error(targets, cut))
    lrap = sk.label_ranking_average_precision_score(targets, cut)
    assert found["lrap_seed"] == pytest.approx(lrap)
    assert found["ranking_loss_seed"] == pytest.approx(sk.label_ranking_loss(targets, cut))
    # the defect: far from what the scores say
    honest = metrics.ranking_figures(targets, scores)
    assert found["coverage_error_seed"] > honest["coverage_error"] + 0.5
