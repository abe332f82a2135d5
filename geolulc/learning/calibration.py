"""From scores to decisions: a temperature and decision thresholds, fitted on validation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

Array = NDArray[np.floating]

#: Positives (and negatives) a class needs for a threshold of its own; below, one threshold shared
#: by such classes varies less from sample to sample than the best one of a handful of patches.
OWN_THRESHOLD_SUPPORT: Final = 10
_TEMPERATURES: Final = (0.1, 10.0)


def fit_temperature(logits: Array, targets: Array) -> float:
    """The temperature that minimises the binary cross-entropy (Guo et al. 2017), 0.1 to 10.

    Args:
        logits: (n, C), finite.
        targets: (n, C), 0 or 1.
    """
    if not logits.size:
        return 1.0
    z, y = logits.astype(np.float64), targets.astype(np.float64)

    return _minimizing(lambda scale: np.logaddexp(0, z * scale) - y * (z * scale))


def fit_softmax_temperature(logits: Array, truth: NDArray[np.int64]) -> float:
    """The temperature that minimises the cross-entropy of one class each, 0.1 to 10.

    Args:
        logits: (n, C), finite.
        truth: (n,), positions of the classes.
    """
    if not logits.size:
        return 1.0
    z = logits.astype(np.float64)
    at_truth = z[np.arange(len(z)), truth]

    return _minimizing(lambda scale: logsumexp(z * scale, axis=1) - at_truth * scale)


def _minimizing(losses: Callable[[float], NDArray[np.float64]]) -> float:
    """The temperature of the lowest mean of ``losses``, which take 1 / temperature."""
    low, high = (math.log(t) for t in _TEMPERATURES)
    found = minimize_scalar(
        lambda log_temperature: float(np.mean(losses(math.exp(-log_temperature)))),
        bounds=(low, high),
        method="bounded",
    )
    return math.exp(float(found.x))


def choose_thresholds(targets: Array, scores: Array, beta: float = 1.0) -> tuple[float, ...]:
    """Decision thresholds by class that maximise F-beta; a class is present at or above its own.

    A class with fewer than ``OWN_THRESHOLD_SUPPORT`` positives or negatives takes the threshold
    that maximises the F-beta of all pairs of patch and class.
    """
    shared = best_threshold(targets.ravel(), scores.ravel(), beta)
    thresholds = []
    for truth, p in zip(targets.T, scores.T, strict=True):
        positives = int(truth.sum())
        enough = min(positives, len(truth) - positives) >= OWN_THRESHOLD_SUPPORT
        thresholds.append(best_threshold(truth, p, beta) if enough else shared)
    return tuple(thresholds)


def best_threshold(truth: Array, scores: Array, beta: float) -> float:
    """The cut of ``scores`` (n,) with the highest F-beta, midway between two scores; 0.5 without
    a positive."""
    positives = float(truth.sum())
    if not positives:
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    hits = np.cumsum(truth[order].astype(np.float64))
    taken = np.arange(1, len(ranked) + 1, dtype=np.float64)
    f = (1 + beta**2) * hits / (beta**2 * positives + taken)
    # a cut lies between different scores only
    f[:-1][ranked[:-1] == ranked[1:]] = -1
    best = int(np.argmax(f))
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float((ranked[best] + below) / 2)
