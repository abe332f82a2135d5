"""The observations of a cell as one. Arrays only.

Of n observations of a cell, with probabilities p and weights w (0: not seen):

- mean: Σ w p / Σ w, class by class;
- median: the weighted median, class by class: half of the weight lies at or below it and half at
  or above it; where it lies between two values, their mean;
- max: the largest, class by class;
- latest: the last one.

The confidence of a class is 1 - 2 s, where s = √(Σ w (p - m)² / Σ w) is the weighted standard
deviation of its probability about the weighted mean m. Values in 0..1 have s ≤ 1/2 (Popoviciu
1935), so it is 1 where all observations agree and 0 where one half of the weight says 0 and the
other 1. A single observation agrees with nothing: NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Two halves of a weight that differ by less than this share are equal.
_EQUAL = 1e-9


@dataclass(frozen=True)
class Combined:
    """Cells of a mosaic; NaN and 0 where nothing was observed.

    Attributes:
        probabilities: float32 (class, rows, columns).
        confidence: float32, the same shape; NaN also where there is one observation.
        count: uint16 (rows, columns): observations that were used.
    """

    probabilities: NDArray[np.float32]
    confidence: NDArray[np.float32]
    count: NDArray[np.uint16]


def combine(how: str, p: NDArray[np.float32], weights: NDArray[np.float32]) -> Combined:
    """One value a cell and class.

    Args:
        how: of ``options.COMBINATIONS``.
        p: (observation, class, rows, columns), from the earliest to the latest.
        weights: (observation, rows, columns); 0 where a cell was not observed, whatever ``p``.
    """
    seen = weights > 0
    count = seen.sum(axis=0)
    mean, deviation = _moments(p, weights)
    nothing = count == 0
    if how == "mean":
        chosen = mean
    elif how == "median":
        chosen = weighted_median(p, weights)
    elif how == "max":
        chosen = np.where(seen[:, None], p, -np.inf).max(axis=0)
    else:
        last = len(p) - 1 - seen[::-1].argmax(axis=0)
        chosen = np.take_along_axis(p, last[None, None], axis=0)[0]
    confidence = 1 - 2 * deviation
    return Combined(
        np.where(nothing, np.nan, chosen).astype(np.float32),
        np.where(count < 2, np.nan, confidence.clip(0, 1)).astype(np.float32),
        count.clip(max=np.iinfo(np.uint16).max).astype(np.uint16),
    )


def weighted_mean(values: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Σ w v / Σ w over the first axis, of the values that are known; NaN without any."""
    known = np.where(np.isfinite(values), weights, 0).astype(np.float64)
    total = known.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean = (known * np.where(known > 0, values, 0)).sum(axis=0) / total
    return np.where(total > 0, mean, np.nan).astype(np.float32)


def _moments(
    p: NDArray[np.float32], weights: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation class by class, in float64."""
    shape = p.shape[1:]
    total = weights.sum(axis=0, dtype=np.float64)
    safe = np.where(total > 0, total, 1)
    # one observation after the other: float64 copies of all of them would be as many times larger
    first, second = np.zeros(shape), np.zeros(shape)
    for one, weight in zip(p, weights, strict=True):
        value = np.where(weight > 0, one, 0).astype(np.float64)
        first += weight * value
    mean = first / safe
    for one, weight in zip(p, weights, strict=True):
        value = np.where(weight > 0, one, 0).astype(np.float64)
        second += weight * (value - mean) ** 2
    return mean, np.sqrt(second / safe)


def weighted_median(p: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """The weighted median over the first axis; of no meaning where all weights are 0."""
    values = np.where(weights[:, None] > 0, p, np.inf)
    order = values.argsort(axis=0, kind="stable")
    values = np.take_along_axis(values, order, axis=0)
    sorted_weights = np.take_along_axis(
        np.broadcast_to(weights[:, None], p.shape).astype(np.float64), order, axis=0
    )
    below = sorted_weights.cumsum(axis=0)
    half = below[-1:] / 2
    lower = (below >= half * (1 - _EQUAL)).argmax(axis=0)
    upper = (below > half * (1 + _EQUAL)).argmax(axis=0)
    pair = np.take_along_axis(values, np.stack([lower, upper]), axis=0).astype(np.float64)
    return np.asarray(pair.mean(axis=0), np.float64)
