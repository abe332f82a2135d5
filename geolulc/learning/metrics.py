"""Figures of multi-label classification, computed on scores, by scikit-learn's definitions.

Everywhere ``targets`` is (n, C) of 0 and 1 and ``scores`` (n, C) of probabilities. A class without
a positive has no average precision, F, precision or recall: it is NaN and stays out of the macro
means. Micro and samples means and the ranking figures take all classes.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

Array = NDArray[np.floating]

#: Bins of the expected calibration error (Guo et al. 2017 use 15).
CALIBRATION_BINS: Final = 15
# patches × classes × classes in memory
_RANKED_AT_ONCE: Final = 4096


def average_precision(targets: Array, scores: Array) -> NDArray[np.float64]:
    """Average precision by class, float64 (C,); NaN for a class without a positive."""
    by_class = np.full(targets.shape[1], math.nan)
    for c in np.flatnonzero(targets.any(axis=0)):
        by_class[c] = sk.average_precision_score(targets[:, c], scores[:, c])
    return by_class


def macro(by_class: NDArray[np.float64]) -> float:
    """Mean over the classes that are not NaN; NaN where there is none."""
    known = by_class[~np.isnan(by_class)]
    return float(known.mean()) if len(known) else math.nan


def micro_average_precision(targets: Array, scores: Array) -> float:
    """Average precision over all pairs of patch and class; NaN without a positive."""
    if not targets.any():
        return math.nan
    return float(sk.average_precision_score(targets.ravel(), scores.ravel()))


def ranking_figures(targets: Array, scores: Array) -> dict[str, float]:
    """Coverage error (best: labels a patch), ranking loss (0) and LRAP (1).

    Tsoumakas et al. 2010, with scikit-learn's treatment of ties and of patches that have no class
    or all of them; its own functions go patch by patch, in 25 s for 120,000 patches, and those of
    torchmetrics rank ties by chance.
    """
    sums = np.zeros(3)
    for start in range(0, len(targets), _RANKED_AT_ONCE):
        rows = slice(start, start + _RANKED_AT_ONCE)
        sums += _ranking_sums(targets[rows].astype(bool), scores[rows])
    coverage, loss, lrap = (float(value) for value in sums / max(len(targets), 1))
    return {"coverage_error": coverage, "ranking_loss": loss, "lrap": lrap}


def _ranking_sums(truth: NDArray[np.bool_], scores: Array) -> NDArray[np.float64]:
    # above[n, j, k]: class k has at least the score of class j
    above = scores[:, None, :] >= scores[:, :, None]
    ranks = above.sum(axis=2)
    hits = (above & truth[:, None, :]).sum(axis=2)
    positives = truth.sum(axis=1)
    pairs = positives * (truth.shape[1] - positives)
    coverage = np.where(truth, ranks, 0).max(axis=1)
    wrong = np.where(truth, ranks - hits, 0).sum(axis=1)
    precision = np.where(truth, hits / ranks, 0).sum(axis=1)
    return np.array(
        [
            coverage.sum(),
            (wrong / np.maximum(pairs, 1))[pairs > 0].sum(),
            np.where(pairs > 0, precision / np.maximum(positives, 1), 1.0).sum(),
        ]
    )


def seed_ranking_figures(targets: Array, scores: Array) -> dict[str, float]:
    """The ranking figures as the seed's code has them: of predictions cut at 0.5 to 0 and 1.

    They measure the tie-breaking of such a matrix more than the model; they are here only to be
    laid beside the seed's published table.
    """
    cut = ranking_figures(targets, (scores > 0.5).astype(np.float64))
    return {f"{name}_seed": value for name, value in cut.items()}


def decision_figures(targets: Array, decisions: NDArray[np.bool_]) -> dict[str, float]:
    """F1, F2, precision and recall (macro, micro, samples), Hamming loss and exact match."""
    truth = targets.astype(bool)
    figures = {}
    for mean, axis in (("macro", 0), ("micro", None), ("samples", 1)):
        hits, support, predicted = (
            pairs.sum(axis=axis) for pairs in (truth & decisions, truth, decisions)
        )
        # macro: only classes with a positive; the others have no recall to speak of
        counted = support > 0 if mean == "macro" else ...
        for name, values in hit_ratios(hits, support, predicted).items():
            figures[f"{name}_{mean}"] = float(values[counted].mean()) if support.any() else math.nan
    figures["hamming_loss"] = float(np.mean(truth != decisions))
    figures["exact_match"] = float(np.mean((truth == decisions).all(axis=1)))
    return figures


def hit_ratios(
    hits: NDArray[Any], support: NDArray[Any], predicted: NDArray[Any]
) -> dict[str, NDArray[np.float64]]:
    """F1, F2, precision and recall of counts of one shape; 0 where there is nothing to count."""
    return {
        "f1": ratio(2 * hits, support + predicted),
        "f2": ratio(5 * hits, 4 * support + predicted),
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, support),
    }


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """``part`` / ``whole``, of counts of one shape; 0 where the whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0))


def log_losses(targets: Array, logits: Array) -> NDArray[np.float64]:
    """Binary cross-entropy of each pair of patch and class, float64 (n, C)."""
    z = logits.astype(np.float64)
    return np.asarray(np.logaddexp(0, z) - targets * z)


def micro_f1(targets: Array, decisions: NDArray[np.bool_]) -> float:
    """F1 over all pairs of patch and class; 0 where there is neither a positive nor a decision."""
    hits = (targets.astype(bool) & decisions).sum()
    return float(ratio(2 * hits, targets.sum() + decisions.sum()))


def class_figures(
    targets: Array, scores: Array, decisions: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """Support, predictions, average precision, F1, F2, precision and recall by class, (C,) each."""
    truth = targets.astype(bool)
    hits, support, predicted = (
        pairs.sum(axis=0, dtype=np.float64) for pairs in (truth & decisions, truth, decisions)
    )
    figures = {"ap": average_precision(targets, scores), **hit_ratios(hits, support, predicted)}
    known = {name: np.where(support > 0, values, math.nan) for name, values in figures.items()}
    return {"support": support, "predicted": predicted, **known}


def calibration_error(targets: Array, scores: Array) -> float:
    """Expected calibration error of all pairs of patch and class (Guo et al. 2017, eq. 3)."""
    return error_of_bins(bin_sums(targets, scores))


def calibration_by_class(targets: Array, scores: Array) -> dict[str, NDArray[np.float64]]:
    """Calibration error, and probabilities over labels, by class, (C,); NaN without a positive.

    One error of all classes together hides those that are too sure behind others that are not sure
    enough (Kull et al. 2019, classwise-ECE).
    """
    sums = np.stack([bin_sums(*pair) for pair in zip(targets.T, scores.T, strict=True)], axis=2)
    return calibration_of_bins(sums)


def calibration_of_bins(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """``calibration_by_class`` of the ``bin_sums`` of each class, (3, bins, C)."""
    _, probabilities, positives = sums.sum(axis=1)
    errors = [error_of_bins(of_class) for of_class in np.moveaxis(sums, 2, 0)]
    return {
        "ece": np.where(positives > 0, errors, math.nan),
        "expected_observed": np.array(
            [expected_observed(*pair) for pair in zip(probabilities, positives, strict=True)]
        ),
    }


def expected_observed(probabilities: float, positives: float) -> float:
    """Σp/Σy, calibration in the large: 1 where as much is said as there is; NaN without a label."""
    return float(probabilities / positives) if positives else math.nan


def error_of_bins(sums: NDArray[np.float64]) -> float:
    """Expected calibration error from ``bin_sums``; NaN without a pair."""
    counts, probabilities, positives = sums
    total = counts.sum()
    return float(np.abs(positives - probabilities).sum() / total) if total else math.nan


def bin_sums(targets: NDArray[Any], scores: Array) -> NDArray[np.float64]:
    """Pairs, and sums of probabilities and of positives, by bin of probability, (3, bins).

    Bins are equally wide. ``targets`` are 0 or 1, and ``scores`` have the same shape.
    """
    p, truth = (values.ravel().astype(np.float64) for values in (scores, targets))
    place = np.clip((p * CALIBRATION_BINS).astype(int), 0, CALIBRATION_BINS - 1)
    return np.stack([np.bincount(place, each, CALIBRATION_BINS) for each in (None, p, truth)])


def reliability(targets: Array, scores: Array) -> dict[str, NDArray[np.float64]]:
    """Share of pairs, mean probability and frequency of positives by bin of probability.

    A bin without a pair has share, confidence and frequency 0.
    """
    counts, probabilities, positives = bin_sums(targets, scores)
    return {
        "share": counts / max(counts.sum(), 1),
        "confidence": ratio(probabilities, counts),
        "frequency": ratio(positives, counts),
    }
