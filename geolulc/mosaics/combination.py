"""The observations of a block's cells as one. Arrays only.

Of n observations of a cell, with probabilities p and weights w (0: not seen):

- mean: Σ w p / Σ w, class by class;
- median: the weighted median, class by class: half of the weight lies at or below it and half at
  or above it; where it lies between two values, their mean;
- max: the largest, class by class;
- latest: the last one.

**Cells** are combined in float32. The agreement of the observations on a class is 1 - 2 s, where
s = √(Σ w (p - m)² / Σ w) is the weighted standard deviation of its probability about the weighted
mean m. Values in 0..1 have s ≤ 1/2 (Popoviciu 1935), so it is 1 where all observations agree and 0
where one half of the weight says 0 and the other 1. A single observation agrees with nothing: NaN.

**Pixels** are combined in steps of 1 / 250, one observation after the other: only a median needs
all of them at once. Their weights say how far a pixel lies inside its tile; where only one
observation is to count (max, latest), it gives way to one that weighs a hundred times as much.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.maps.encoding import NODATA
from geolulc.maps.header import MapBlock
from geolulc.mosaics.observations import Observation

#: Two halves of a weight that differ by less than this share are equal.
_EQUAL: Final = 1e-9
#: Patches whose offsets from the cell's centre differ by fewer metres are equally near.
_NEARNESS: Final = 1.0
#: Of two observations of a pixel, one that weighs less than this share of the other gives way.
_SLIGHT: Final = np.float32(0.01)
_MOST_COUNTED: Final = np.iinfo(np.uint16).max


def combine_cells(
    how: str,
    observations: Sequence[Observation],
    least_weight: float,
    classes: int,
    shape: tuple[int, int],
) -> MapBlock:
    """Cells with their agreement, their count, and the valid and clear shares of what was used.

    Args:
        how: of ``options.COMBINATIONS``.
        observations: of all cells of the block, from the earliest to the latest.
        least_weight: observations that weigh less are left out.
        classes: number of classes.
        shape: (rows, columns) of the block.

    Returns:
        A block at row 0 and column 0: float32, NaN and a count of 0 where nothing was observed.
    """
    if not observations:
        nothing = np.full(shape, np.nan, np.float32)
        p = np.broadcast_to(nothing, (classes, *shape))
        return MapBlock(0, 0, p, nothing, nothing, np.zeros(shape, np.uint16), p)
    p, weights, offset, valid, clear = (
        np.stack([observation.layers[field.name] for observation in observations])
        for field in fields(Observation)
    )
    weights = _nearest(np.where(weights >= least_weight, weights, np.float32(0)), offset)
    return replace(
        combine(how, p, weights),
        valid=weighted_mean(valid, weights),
        clear=weighted_mean(clear, weights),
    )


def _nearest(weights: NDArray[np.float32], offset: NDArray[np.float32]) -> NDArray[np.float32]:
    """``weights`` of the observations whose patches are nearest to the cell's centre, else 0.

    At its edge a tile's patches are moved inside, off the centres of their cells, and see other
    ground than their neighbours'.
    """
    offset = np.where(weights > 0, offset, np.inf)
    return np.where(offset <= offset.min(axis=0) + _NEARNESS, weights, np.float32(0))


def combine(how: str, p: NDArray[np.float32], weights: NDArray[np.float32]) -> MapBlock:
    """One value a cell and class, with the number of observations and their agreement.

    Args:
        how: of ``options.COMBINATIONS``.
        p: (observation, class, rows, columns), from the earliest to the latest.
        weights: (observation, rows, columns); 0 where a cell was not observed, whatever ``p``.
    """
    seen = weights > 0
    count = seen.sum(axis=0)
    mean, deviation = _moments(p, weights)
    if how == "mean":
        chosen = mean
    elif how == "median":
        chosen = weighted_median(p, weights)
    elif how == "max":
        chosen = np.where(seen[:, None], p, -np.inf).max(axis=0)
    else:
        last = len(p) - 1 - seen[::-1].argmax(axis=0)
        chosen = np.take_along_axis(p, last[None, None], axis=0)[0]
    agreement = (1 - 2 * deviation).clip(0, 1)
    return MapBlock(
        0,
        0,
        np.where(count == 0, np.nan, chosen).astype(np.float32),
        count=count.clip(max=_MOST_COUNTED).astype(np.uint16),
        agreement=np.where(count < 2, np.nan, agreement).astype(np.float32),
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
    """The weighted median over the first axis; it means nothing where all weights are 0."""
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


def combine_pixels(
    how: str, observations: Iterable[Observation], classes: int, shape: tuple[int, int]
) -> MapBlock:
    """One value a pixel and class: what a single map says stays as it is.

    But for "median", an observation is let go before the next one is taken: memory does not grow
    with their number.

    Args:
        how: of ``options.COMBINATIONS``.
        observations: of the pixels of one block, from the earliest to the latest.
        classes: number of classes.
        shape: (rows, columns) of the block.

    Returns:
        A block at row 0 and column 0: uint8 steps, and the number of observations.
    """
    remaining = iter(observations)
    first, second = next(remaining, None), next(remaining, None)
    if first is None:
        nothing = np.full((classes, *shape), NODATA, np.uint8)
        return MapBlock(0, 0, nothing, count=np.zeros(shape, np.uint16))
    if second is None:
        return _in_steps(first.p, (first.weight > 0).astype(np.uint16))
    if how == "median":
        return _median([first, second, *remaining])
    combined = _Mean(first) if how == "mean" else _Chosen(first, largest=how == "max")
    combined.add(second)
    for observation in remaining:
        combined.add(observation)
    return combined.block


class _Mean:
    """Σ w p / Σ w."""

    def __init__(self, first: Observation) -> None:
        self._sums = first.p * first.weight
        self._weights = first.weight.copy()
        self._count = (first.weight > 0).astype(np.uint16)

    def add(self, observation: Observation) -> None:
        for sums, steps in zip(self._sums, observation.p, strict=True):
            sums += steps * observation.weight
        self._weights += observation.weight
        self._count += observation.weight > 0

    @property
    def block(self) -> MapBlock:
        self._sums /= np.where(self._count > 0, self._weights, np.float32(1))
        return _in_steps(self._sums, self._count)


class _Chosen:
    """The last one, or the largest class by class."""

    def __init__(self, first: Observation, *, largest: bool) -> None:
        self._largest = largest
        self._steps = first.p.astype(np.float32)
        self._steps[:, first.weight == 0] = 0
        self._weight = first.weight.copy()
        self._count = (first.weight > 0).astype(np.uint16)

    def add(self, observation: Observation) -> None:
        weight = observation.weight
        better = _SLIGHT * weight > self._weight
        among = (weight > 0) & ~better & (weight >= _SLIGHT * self._weight)
        replaced = better if self._largest else better | among
        for kept, steps in zip(self._steps, observation.p, strict=True):
            if self._largest:
                np.maximum(kept, steps, out=kept, where=among, casting="unsafe")
            np.copyto(kept, steps, where=replaced)
        self._count[better] = 0
        self._count += better | among
        np.maximum(self._weight, weight, out=self._weight)

    @property
    def block(self) -> MapBlock:
        return _in_steps(self._steps, self._count)


def _median(observations: Sequence[Observation]) -> MapBlock:
    weights = np.stack([o.weight for o in observations])
    steps = np.stack([o.p for o in observations]).astype(np.float32)
    return _in_steps(weighted_median(steps, weights), (weights > 0).sum(axis=0).astype(np.uint16))


def _in_steps(
    steps: NDArray[np.uint8] | NDArray[np.float32] | NDArray[np.float64],
    count: NDArray[np.uint16],
) -> MapBlock:
    """Probabilities rounded to whole steps, of no data where nothing was observed."""
    seen = count > 0
    rounded = np.empty(steps.shape, np.uint8)
    for target, layer in zip(rounded, steps, strict=True):
        known = np.where(seen, layer, layer.dtype.type(NODATA))
        target[:] = known if known.dtype == np.uint8 else np.rint(known, out=known)
    return MapBlock(0, 0, rounded, count=count)
