"""The observations of a pixel as one, taken one after the other. Arrays only.

Ways to combine are those of ``combination``. Weights say how near a pixel lies to its tile's edge.
Where only one is to count (max, latest), an observation gives way to one that weighs a hundred
times as much: that of a pixel in the margin of its tile to one further inside its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.mosaics.combination import weighted_median
from geolulc.mosaics.pixel_windows import PixelObservation
from geolulc.pixel_map import NODATA

#: uint8 (class, rows, columns), as in ``PixelStrip``, and uint16 (rows, columns): the number of
#: observations that were used.
Combined = tuple[NDArray[np.uint8], NDArray[np.uint16]]
#: Of two observations, one that weighs less than this share of the other gives way.
_SLIGHT: Final = np.float32(0.01)
#: Bytes that the copies which a median sorts take at most.
_BUDGET: Final = 64 * 2**20


def combine_pixels(
    how: str, observations: Iterable[PixelObservation], classes: int, shape: tuple[int, int]
) -> Combined:
    """One value a pixel and class: what a single map says stays as it is.

    But for "median", an observation is let go before the next one is taken: memory does not grow
    with their number.

    Args:
        how: of ``options.COMBINATIONS``.
        observations: of one block, from the earliest to the latest.
        classes: number of classes.
        shape: (rows, columns) of the block.
    """
    taken = iter(observations)
    first = next(taken, None)
    if first is None:
        return np.full((classes, *shape), NODATA, np.uint8), np.zeros(shape, np.uint16)
    second = next(taken, None)
    if second is None:
        seen = first.weight > 0
        return _finished(first.steps, seen), seen.astype(np.uint16)
    if how == "median":
        return _median([first, second, *taken])
    sums = _Mean(first) if how == "mean" else _Chosen(first, largest=how == "max")
    sums.add(second)
    for observation in taken:
        sums.add(observation)
    return sums.made()


class _Mean:
    """Σ w p / Σ w."""

    def __init__(self, first: PixelObservation) -> None:
        self._sums = first.steps * first.weight
        self._weights = first.weight.copy()
        self._count = (first.weight > 0).astype(np.uint16)

    def add(self, observation: PixelObservation) -> None:
        for sums, steps in zip(self._sums, observation.steps, strict=True):
            sums += steps * observation.weight
        self._weights += observation.weight
        self._count += observation.weight > 0

    def made(self) -> Combined:
        seen = self._count > 0
        self._sums /= np.where(seen, self._weights, np.float32(1))
        return _finished(self._sums, seen), self._count


class _Chosen:
    """The last one, or the largest class by class."""

    def __init__(self, first: PixelObservation, *, largest: bool) -> None:
        self._largest = largest
        self._steps = first.steps.astype(np.float32)
        self._steps[:, first.weight == 0] = 0
        self._weight = first.weight.copy()
        self._count = (first.weight > 0).astype(np.uint16)

    def add(self, observation: PixelObservation) -> None:
        weight = observation.weight
        better = _SLIGHT * weight > self._weight
        among = (weight > 0) & ~better & (weight >= _SLIGHT * self._weight)
        replaced = better if self._largest else better | among
        for kept, steps in zip(self._steps, observation.steps, strict=True):
            if self._largest:
                np.maximum(kept, steps, out=kept, where=among, casting="unsafe")
            np.copyto(kept, steps, where=replaced)
        self._count[better] = 0
        self._count += better | among
        np.maximum(self._weight, weight, out=self._weight)

    def made(self) -> Combined:
        return _finished(self._steps, self._count > 0), self._count


def _median(observations: Sequence[PixelObservation]) -> Combined:
    weights = np.stack([o.weight for o in observations])
    seen = np.asarray((weights > 0).any(axis=0))
    classes, rows, columns = observations[0].steps.shape
    made = np.empty((classes, rows, columns), np.uint8)
    # float32, its order, and sorted values, weights and their sums in float64
    high = max(1, _BUDGET // (len(observations) * classes * columns * 40))
    for top in range(0, rows, high):
        part = np.s_[top : top + high]
        steps = np.stack([o.steps[:, part].astype(np.float32) for o in observations])
        median = weighted_median(steps, weights[:, part])
        made[:, part] = _finished(median, seen[part])
    return made, (weights > 0).sum(axis=0).astype(np.uint16)


def _finished(
    steps: NDArray[np.uint8] | NDArray[np.float32] | NDArray[np.float64], seen: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    if steps.dtype == np.uint8:
        return np.where(seen, steps, np.uint8(NODATA)).astype(np.uint8)
    made = np.empty(steps.shape, np.uint8)
    for target, layer in zip(made, steps, strict=True):
        known = np.where(seen, layer, layer.dtype.type(NODATA))
        target[:] = np.rint(known, out=known)
    return made
