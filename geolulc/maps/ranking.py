"""The most probable classes of cells, and how sure they are. Arrays only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.maps.encoding import FULL, NODATA
from geolulc.maps.header import MapHeader
from geolulc.nomenclature import Codes

#: Presence of a class in a cell without data.
NO_PRESENCE: Final = 255
#: Cells ranked at a time: their keys stay in the processor's cache.
_AT_ONCE: Final = 2**16


@dataclass(frozen=True)
class Ranked:
    """The classes of the cells of a block, the most probable first.

    Attributes:
        index: uint8, or uint16 of more than 256 classes (rank, rows, columns): position of the
            class in the map's order; of equal
            probabilities the first in that order comes first. Without data it means nothing.
        probabilities: (rank, rows, columns), encoded as those of the block.
        mapped: bool (rows, columns): cells that have data.
    """

    index: NDArray[np.unsignedinteger[Any]]
    probabilities: NDArray[np.float32] | NDArray[np.uint8]
    mapped: NDArray[np.bool_]

    def dominant(self, header: MapHeader) -> Codes:
        """(rows, columns): code of the most probable class; ``header.no_class`` without data."""
        codes = header.codes
        return np.where(self.mapped, codes[self.index[0]], codes.dtype.type(header.no_class))

    @property
    def margin(self) -> NDArray[np.float32]:
        """float32 (rows, columns): highest less second highest probability; NaN without data.

        Near 0 the most probable class is a close call. With one class it is its probability.
        Of float32 probabilities.
        """
        p = self.probabilities
        return np.asarray(p[0] - p[1] if len(p) > 1 else p[0], np.float32)


def rank_classes(probabilities: NDArray[np.float32] | NDArray[np.uint8], depth: int = 3) -> Ranked:
    """The ``depth`` most probable classes of each cell, or all where there are fewer.

    Args:
        probabilities: (class, rows, columns), as in ``MapBlock``.
        depth: how many.

    Raises:
        ValueError: a uint8 value between 250 and 255.
    """
    count, rows, columns = probabilities.shape
    depth = min(depth, count)
    index = np.empty((depth, rows, columns), np.min_scalar_type(count - 1))
    highest = np.empty((depth, rows, columns), probabilities.dtype)
    step = max(1, _AT_ONCE // columns)
    rank: Any = _rank_steps if probabilities.dtype == np.uint8 else _rank_shares
    for top in range(0, rows, step):
        part = slice(top, top + step)
        rank(probabilities[:, part], index[:, part], highest[:, part])
    if probabilities.dtype != np.uint8:
        return Ranked(index, highest, np.asarray(~np.isnan(highest[0]), np.bool_))
    mapped = np.asarray(highest[0] != NODATA, np.bool_)
    highest[:, ~mapped] = NODATA
    if ((highest[0] > FULL) & mapped).any():
        raise ValueError(f"probabilities between {FULL} and {NODATA}")
    return Ranked(index, highest, mapped)


def _rank_steps(
    probabilities: NDArray[np.uint8],
    index: NDArray[np.unsignedinteger[Any]],
    highest: NDArray[np.uint8],
) -> None:
    """Fill ``index`` and ``highest``: each key holds a probability and, below it, a class.

    Minima and maxima then sort both at once.
    """
    shape, last = probabilities.shape[1:], np.iinfo(index.dtype).max
    bits = 8 * index.dtype.itemsize
    dtype: Any = np.uint16 if bits == 8 else np.uint32
    best = [np.zeros(shape, dtype) for _ in index]
    key, higher = np.empty(shape, dtype), np.empty(shape, dtype)
    for i, p in enumerate(probabilities):
        np.left_shift(p, bits, out=key, dtype=dtype)
        key |= dtype(last - i)
        for rank in range(len(best)):
            np.maximum(best[rank], key, out=higher)
            np.minimum(best[rank], key, out=key)
            best[rank], higher = higher, best[rank]
    for rank, keys in enumerate(best):
        np.subtract(last, keys & last, out=index[rank], casting="unsafe")
        np.right_shift(keys, bits, out=highest[rank], casting="unsafe")


def _rank_shares(
    probabilities: NDArray[np.float32],
    index: NDArray[np.unsignedinteger[Any]],
    highest: NDArray[np.float32],
) -> None:
    mapped = np.isfinite(probabilities).all(axis=0)
    left = np.where(mapped, probabilities, np.float32(-1))
    for rank in range(len(index)):
        first = left.argmax(axis=0)[None]
        index[rank] = first[0]
        highest[rank] = np.where(mapped, np.take_along_axis(left, first, axis=0)[0], np.nan)
        np.put_along_axis(left, first, np.float32(-np.inf), axis=0)


def present_classes(header: MapHeader, shares: NDArray[np.float32]) -> NDArray[np.uint8]:
    """uint8 (class, rows, columns): 1 where a class reaches its threshold, 0, 255 = no data."""
    reached = shares >= header.presence_thresholds[:, None, None]
    mapped = np.isfinite(shares).all(axis=0)
    return np.where(mapped, reached.astype(np.uint8), np.uint8(NO_PRESENCE))


def doubt(header: MapHeader, shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Doubt about the classes of cells: float32 (rows, columns), NaN = no data.

    ``entropy`` on a scale whose 1 has a meaning: of cells, where the class frequencies of the
    training are known, relative to the entropy of these. 0: every class is surely there or surely
    not; 1: as unsure as somebody who knows nothing but how frequent the classes are; more than 1:
    even less sure. Where they are not known, in bits; of pixels, a share of the highest possible.
    Of cover fractions, which share a cell, it is that share too: how mixed the cell is, not doubt.
    """
    found = entropy(shares, exclusive=header.adds_up)
    scale = frequency_entropy(header)
    return found if scale is None else found / np.float32(scale)


def frequency_entropy(header: MapHeader) -> float | None:
    """Mean binary entropy of a map's class frequencies in bits: what they alone leave open.

    None where they are not known or leave nothing open, and of maps of pixels.
    """
    if header.adds_up or not header.frequencies:
        return None
    shares = np.array(header.frequencies, np.float32)[:, None, None]
    return float(entropy(shares, exclusive=False)[0, 0]) or None


def entropy(shares: NDArray[np.float32], *, exclusive: bool) -> NDArray[np.float32]:
    """Entropy of the probabilities (class, rows, columns): float32 (rows, columns), NaN = no data.

    Of classes that exclude each other, as a share of the highest possible: 0: one class is sure;
    1: all are alike. Of others the mean over the classes of the binary entropy in bits: 0: every
    class is surely there or surely not; 1: each is as likely there as not (Shannon 1948).
    """
    total = np.zeros(shares.shape[1:], np.float32)
    for probabilities in shares:  # one by one: a fine map is large
        p = np.clip(probabilities, 0, 1)
        total -= _plogp(p) if exclusive else _plogp(p) + _plogp(1 - p)
    return total / np.float32(max(math.log2(len(shares)), 1) if exclusive else len(shares))


def _plogp(p: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p == 0, np.float32(0), p * np.log2(p))
