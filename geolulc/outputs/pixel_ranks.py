"""The most probable classes of pixels. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.pixel_map import FULL, NODATA

#: Bits of a key that hold the class; 8 more hold its probability.
_CLASS_BITS: Final = 6
_LAST: Final = 2**_CLASS_BITS - 1
#: Pixels ranked at a time: their keys stay in the processor's cache.
_AT_ONCE: Final = 2**16


@dataclass(frozen=True)
class Ranking:
    """The classes of pixels, the most probable first.

    Attributes:
        index: uint8 (rank, rows, columns): position of the class in the map's order; of equal
            probabilities the first in that order comes first. Of no meaning without data.
        probabilities: uint8 (rank, rows, columns), as in ``PixelStrip``; 255 = no data.
    """

    index: NDArray[np.uint8]
    probabilities: NDArray[np.uint8]

    @property
    def mapped(self) -> NDArray[np.bool_]:
        """bool (rows, columns): pixels that have probabilities."""
        return np.asarray(self.probabilities[0] != NODATA, np.bool_)


def rank_classes(probabilities: NDArray[np.uint8], depth: int = 3) -> Ranking:
    """The ``depth`` most probable classes of each pixel, or all where there are fewer.

    A pixel with 255 in any class has no data.

    Args:
        probabilities: uint8 (class, rows, columns), as in ``PixelStrip``; up to 64 classes.
        depth: how many.

    Raises:
        ValueError: more than 64 classes, or a value between 250 and 255.
    """
    count, rows, columns = probabilities.shape
    if count > _LAST + 1:
        raise ValueError(f"{count} classes, more than {_LAST + 1}")
    depth = min(depth, count)
    index = np.empty((depth, rows, columns), np.uint8)
    highest = np.empty((depth, rows, columns), np.uint8)
    step = max(1, _AT_ONCE // columns)
    for top in range(0, rows, step):
        part = slice(top, top + step)
        for rank, keys in enumerate(_best_keys(probabilities[:, part], depth)):
            np.subtract(_LAST, keys & _LAST, out=index[rank, part], casting="unsafe")
            np.right_shift(keys, _CLASS_BITS, out=highest[rank, part], casting="unsafe")
    highest[:, highest[0] == NODATA] = NODATA
    if ((highest[0] > FULL) & (highest[0] < NODATA)).any():
        raise ValueError(f"probabilities between {FULL} and {NODATA}")
    return Ranking(index, highest)


def _best_keys(probabilities: NDArray[np.uint8], depth: int) -> list[NDArray[np.uint16]]:
    """Probability and class in one number, so that minima and maxima sort both at once."""
    shape = probabilities.shape[1:]
    best = [np.zeros(shape, np.uint16) for _ in range(depth)]
    key, higher = np.empty(shape, np.uint16), np.empty(shape, np.uint16)
    for i, p in enumerate(probabilities):
        np.left_shift(p, _CLASS_BITS, out=key, dtype=np.uint16)
        key |= np.uint16(_LAST - i)
        for rank in range(depth):
            np.maximum(best[rank], key, out=higher)
            np.minimum(best[rank], key, out=key)
            best[rank], higher = higher, best[rank]
    return best
