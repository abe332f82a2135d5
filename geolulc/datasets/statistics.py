"""Exact band statistics in one streaming pass.

Digital numbers are uint16, so a histogram of 65,536 counts a band holds everything: mean,
standard deviation and percentiles follow from it exactly, in any order and by any number of
workers, and no pixel is read twice. DN 0 is no data and is counted apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.bands import GROUPS

PERCENTILES: Final = (1, 2, 5, 25, 50, 75, 95, 98, 99)
_LEVELS: Final = 1 << 16
#: Patches that are counted together: each count passes over all 65,536 levels.
_COUNTED_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Statistics of the pixels with data (DN ≠ 0) of one band, in DN.

    ``std`` is the population's (divided by n). ``percentiles`` are numpy's (linear between the
    two nearest values). With no pixel at all everything is NaN.
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    percentiles: Mapping[int, float]
    pixels: int
    nodata_pixels: int

    def to_json(self) -> dict[str, Any]:
        """JSON form: NaN as None, percentiles under string keys."""
        plain = asdict(self)
        plain["percentiles"] = {str(k): v for k, v in self.percentiles.items()}
        return {name: without_nan(value) for name, value in plain.items()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> BandStatistics:
        """The inverse of ``to_json``."""

        def number(value: Any) -> float:
            return math.nan if value is None else float(value)

        mean, std, low, high = (number(plain[n]) for n in ("mean", "std", "minimum", "maximum"))
        percentiles = {int(k): number(v) for k, v in plain["percentiles"].items()}
        return cls(
            mean, std, low, high, percentiles, int(plain["pixels"]), int(plain["nodata_pixels"])
        )


def without_nan(value: Any) -> Any:
    """``value`` with None in place of NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {k: without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class BandHistograms:
    """Counts of every DN of every band of ``groups``: resolution → names."""

    def __init__(self, groups: Mapping[int, Sequence[str]] = GROUPS) -> None:
        self._groups = groups
        self._names = [name for names in groups.values() for name in names]
        self._counts = np.zeros((len(self._names), _LEVELS), np.int64)
        self._waiting: list[Mapping[int, NDArray[np.uint16]]] = []

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64 (bands, 65536); may be changed."""
        self._count_waiting()
        return self._counts

    def add(self, dn: Mapping[int, NDArray[np.uint16]]) -> None:
        """Count a patch: resolution → uint16 (bands, pixels, pixels)."""
        self._waiting.append(dn)
        if len(self._waiting) == _COUNTED_AT_ONCE:
            self._count_waiting()

    def _count_waiting(self) -> None:
        if self._waiting:
            # (resolution, channel) of each row of the counts
            places = [
                (r, channel) for r, names in self._groups.items() for channel in range(len(names))
            ]
            for row, (resolution, channel) in enumerate(places):
                pixels = np.concatenate([dn[resolution][channel].ravel() for dn in self._waiting])
                self._counts[row] += np.bincount(pixels, minlength=_LEVELS)
        self._waiting = []

    def merge(self, other: BandHistograms) -> None:
        """Add the counts of ``other``."""
        self._counts += other.counts

    def statistics(self) -> dict[str, BandStatistics]:
        """Band name → statistics."""
        return {name: _describe(row) for name, row in zip(self._names, self.counts, strict=True)}

    def sparse(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Only what is not zero, for a small file: flat places, and the counts there."""
        counts = self.counts
        places = np.flatnonzero(counts).astype(np.int64)
        return places, counts.ravel()[places]

    @classmethod
    def from_sparse(
        cls,
        places: NDArray[np.int64],
        counts: NDArray[np.int64],
        groups: Mapping[int, Sequence[str]] = GROUPS,
    ) -> BandHistograms:
        """The inverse of ``sparse``."""
        histograms = cls(groups)
        histograms.counts.ravel()[places] = counts
        return histograms


def _describe(counts: NDArray[np.int64]) -> BandStatistics:
    nodata = int(counts[0])
    values = np.flatnonzero(counts[1:]) + 1
    weights = counts[values]
    pixels = int(weights.sum())
    if not pixels:
        nan = math.nan
        return BandStatistics(nan, nan, nan, nan, dict.fromkeys(PERCENTILES, nan), 0, nodata)
    # Python's integers neither round nor overflow: 1e14 pixels × 65535² is beyond int64
    pairs = list(zip(values.tolist(), weights.tolist(), strict=True))
    total = sum(v * w for v, w in pairs)
    squares = sum(v * v * w for v, w in pairs)
    variance = (squares * pixels - total * total) / pixels**2
    places = (pixels - 1) * np.array(PERCENTILES) / 100
    ranks = np.stack([np.floor(places), np.ceil(places)])
    below, above = values[np.searchsorted(np.cumsum(weights), ranks, side="right")]
    percentiles = below + (above - below) * (places - np.floor(places))
    return BandStatistics(
        mean=total / pixels,
        std=math.sqrt(variance),
        minimum=float(values[0]),
        maximum=float(values[-1]),
        percentiles=dict(zip(PERCENTILES, percentiles.tolist(), strict=True)),
        pixels=pixels,
        nodata_pixels=nodata,
    )
