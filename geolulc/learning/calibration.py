"""From scores to decisions: calibration and decision thresholds, fitted on validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from geolulc.nets.calibration import Calibration

Array = NDArray[np.floating]

#: Positives (and negatives) a class needs for a threshold of its own; below, one threshold shared
#: by such classes varies less from sample to sample than the best one of a handful of patches.
OWN_THRESHOLD_SUPPORT: Final = 10
# of a logit: what it may be multiplied by
_SLOPES: Final = (0.1, 10.0)
#: How far classes are taken to lie apart before anything was seen, as standard deviations: of the
#: slope, in shares of the shared one, and of the shift in logits. A shift of 1 weighs as much as
#: some four patches of even odds: few positives leave a class near the others. A choice.
_SLOPES_APART: Final = 0.25
_SHIFTS_APART: Final = 1.0


def fit_calibration(logits: Array, targets: Array) -> Calibration:
    """Logistic calibration of each class, drawn towards a shared one where labels are few.

    Minimises the cross-entropy of ``a_c · logit + b_c`` (Platt 1999), summed over patches and
    classes, plus a Gaussian penalty on how far ``a_c`` and ``b_c`` lie from their means over the
    classes. The means themselves are free: over all classes together the probabilities add up to
    the labels, whatever loss the network was trained with.

    Args:
        logits: (n, C), finite.
        targets: (n, C), 0 or 1.
    """
    if not logits.size:
        return Calibration()
    z, y = logits.astype(np.float64), targets.astype(np.float64)
    classes = z.shape[1]
    # first one line for all, which gives the slopes their scale
    shared = _fit_lines(z.reshape(-1, 1), y.reshape(-1, 1), np.array([[1.0], [0.0]]))
    slope = float(shared[0, 0])
    slopes, shifts = _fit_lines(z, y, np.repeat(shared, classes, axis=1), slope)
    return Calibration(1 / slope, tuple((slopes / slope).tolist()), tuple(shifts.tolist()))


def _fit_lines(z: Array, y: Array, start: Array, slope: float = 1.0) -> NDArray[np.float64]:
    """Slopes and shifts (2, C) of the lowest penalised loss, from those of ``start``."""
    apart = np.array([[_SLOPES_APART * slope], [_SHIFTS_APART]])

    def loss(lines: Array) -> tuple[float, Array]:
        lines = lines.reshape(start.shape)
        at = z * lines[0] + lines[1]
        wrong = expit(at) - y
        off = (lines - lines.mean(axis=1, keepdims=True)) / apart
        slopes, shifts = np.einsum("nc,nc->c", wrong, z), wrong.sum(axis=0)
        value = np.sum(np.logaddexp(0, at) - y * at) + 0.5 * np.sum(off**2)
        return float(value), (np.stack([slopes, shifts]) + off / apart).ravel()

    bounds = [_SLOPES] * start.shape[1] + [(None, None)] * start.shape[1]
    return _minimum(loss, start, bounds).reshape(start.shape)


def fit_softmax_calibration(
    logits: Array, truth: NDArray[Any], shifts: Array | None = None
) -> Calibration:
    """Temperature, and a shift of each class, that minimise the cross-entropy of exclusive classes.

    Vector scaling without slopes (Guo et al. 2017, section 4.2); with a Gaussian penalty on how
    far the shifts lie from the given ones, which few pixels of a class leave where they are.

    Args:
        logits: (n, C), finite.
        truth: int (n,), positions of the classes, or float (n, C), the share of each; shares of
            less than 1 in all weigh less.
        shifts: (C,), known before anything was seen: ``-log(weight)`` of weighted classes; None
            for 0.
    """
    known = np.zeros(logits.shape[1]) if shifts is None else np.asarray(shifts, np.float64)
    if not logits.size:
        return Calibration(shifts=tuple(known.tolist()))
    z = logits.astype(np.float64)
    shares = truth if truth.ndim == 2 else np.eye(z.shape[1])[truth]
    weights = shares.sum(axis=1, keepdims=True)

    def loss(values: Array) -> tuple[float, Array]:
        at = z * values[0] + values[1:]
        off = (values[1:] - known) / _SHIFTS_APART
        value = -np.sum(shares * log_softmax(at, axis=1)) + 0.5 * np.sum(off**2)
        wrong = weights * softmax(at, axis=1) - shares
        slopes = np.einsum("nc,nc->", wrong, z)
        return float(value), np.array([slopes, *(wrong.sum(axis=0) + off / _SHIFTS_APART)])

    found = _minimum(loss, np.array([1.0, *known]), [_SLOPES] + [(None, None)] * len(known))
    return Calibration(1 / float(found[0]), shifts=tuple(found[1:].tolist()))


def _minimum(
    loss: Callable[[Array], tuple[float, Array]],
    start: Array,
    bounds: Sequence[tuple[float | None, float | None]],
) -> NDArray[np.float64]:
    """Where ``loss``, which gives its gradient too, is lowest."""
    # a relative 1e-8 leaves sums of probabilities 1e-5 from those of labels
    options = {"maxiter": 1000, "maxfun": 2000, "ftol": 1e-8, "gtol": 1e-3}
    found = minimize(
        loss, start.ravel(), jac=True, bounds=bounds, method="L-BFGS-B", options=options
    )
    return np.asarray(found.x, np.float64)


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
