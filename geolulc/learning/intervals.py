"""How far figures may be off: resampling of whole tiles, whose patches are alike.

Neighbouring patches of one tile share weather, season and land, so that a thousand of them say
less than a thousand drawn from anywhere: tiles are resampled, not patches (cluster bootstrap,
Field & Welsh 2007). Intervals are bias-corrected percentiles (Efron 1981): average precision is
biased upwards in resamples, which repeat patches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from geolulc.learning import metrics

#: Resamples: their 2.5 % are a dozen.
RESAMPLES: Final = 500
#: With fewer clusters, resamples are too few different ones to say anything.
FEWEST_CLUSTERS: Final = 5
_LEVEL: Final = 0.95

#: (low, high).
Interval = tuple[float, float]
#: How often each cluster is taken, float64 (K,) → figures by name.
Figures = Callable[[NDArray[np.float64]], Mapping[str, float]]


def clusters_of(tiles: Sequence[str | None], keys: Sequence[str]) -> NDArray[np.str_]:
    """The tile of each patch, or its acquisition (from its name) where that is not known, (n,)."""
    return np.array([t or k.rsplit("_", 2)[0] for t, k in zip(tiles, keys, strict=True)], np.str_)


def resample(figures: Figures, clusters: int, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Each figure of ``RESAMPLES`` draws of ``clusters`` with replacement, float64 (n,).

    {} with fewer than ``FEWEST_CLUSTERS``.
    """
    if clusters < FEWEST_CLUSTERS:
        return {}
    random = np.random.default_rng([seed, 0xB007])
    drawn = [
        figures(_times(random.integers(clusters, size=clusters), clusters))
        for _ in range(RESAMPLES)
    ]
    return {name: np.array([each[name] for each in drawn]) for name in drawn[0]}


def _times(drawn: NDArray[np.int64], clusters: int) -> NDArray[np.float64]:
    return np.bincount(drawn, minlength=clusters).astype(np.float64)


def interval(resampled: NDArray[np.float64], measured: float) -> Interval:
    """The bias-corrected 95 % interval of ``measured`` from ``resampled`` (n,); NaN where none."""
    known = resampled[np.isfinite(resampled)]
    if not len(known) or not math.isfinite(measured):
        return math.nan, math.nan
    below = np.mean(known < measured) + np.mean(known == measured) / 2
    bias = norm.ppf(np.clip(below, 0.5 / len(known), 1 - 0.5 / len(known)))
    ends = norm.cdf(2 * bias + norm.ppf([(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]))
    low, high = np.quantile(known, ends)
    return float(low), float(high)


def intervals(figures: Figures, clusters: int) -> dict[str, Interval]:
    """The interval of each figure; {} with fewer than ``FEWEST_CLUSTERS``."""
    measured = figures(np.ones(clusters))
    found = resample(figures, clusters)
    return {name: interval(values, measured[name]) for name, values in found.items()}


@dataclass(frozen=True)
class Difference:
    """A figure of two models on the same patches.

    Attributes:
        first, second: the figure of each.
        low, high: 95 % interval of ``first - second``; NaN with too few clusters.
        p: how often a difference at least so far from 0, to either side, would come by chance.
    """

    first: float
    second: float
    low: float
    high: float
    p: float

    @property
    def is_real(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def as_json(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)


def differences(pairs: Sequence[tuple[Figures, Figures]], clusters: int) -> dict[str, Difference]:
    """Each figure of two models and its difference, both on the same resamples (paired).

    Of several ``pairs``, trained with other seeds, it is their means; seeds are drawn too.
    """
    random = np.random.default_rng(0x5EED)

    def apart(weights: NDArray[np.float64]) -> dict[str, float]:
        drawn = random.integers(len(pairs), size=len(pairs))
        a, b = (_mean([pairs[i][side](weights) for i in drawn]) for side in (0, 1))
        return {name: a[name] - b[name] for name in a}

    whole = np.ones(clusters)
    a, b = (_mean([pair[side](whole) for pair in pairs]) for side in (0, 1))
    found = resample(apart, clusters)
    result = {}
    for name in a:
        values = found.get(name, np.empty(0))
        values = values[np.isfinite(values)]
        low, high = interval(values, a[name] - b[name])
        # both tails, the sample itself counted: never 0 (Davison & Hinkley 1997, section 4.2)
        tails = [(1 + np.sum(values <= 0)), (1 + np.sum(values >= 0))]
        p = min(2 * min(tails) / (1 + len(values)), 1.0) if len(values) else math.nan
        result[name] = Difference(a[name], b[name], low, high, float(p))
    return result


def _mean(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([each[name] for each in figures])) for name in figures[0]}


class ClusterSums:
    """Sums over the patches of each cluster: what the figures of resamples are made of.

    Args:
        clusters: (n,), the name of each patch's cluster.
        parts: name → (n, C), what is summed.
    """

    def __init__(self, clusters: NDArray[np.str_], parts: Mapping[str, NDArray[Any]]) -> None:
        names, self._of_patch = np.unique(clusters, return_inverse=True)
        #: Number of clusters.
        self.clusters = len(names)
        self._sums = {
            name: np.stack(
                [np.bincount(self._of_patch, v, self.clusters) for v in values.T], axis=1
            )
            for name, values in parts.items()
        }

    def sums(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Name → sums, float64 (C,), where each cluster counts ``weights`` times, (K,)."""
        return {name: weights @ parts for name, parts in self._sums.items()}


class DecisionFigures(ClusterSums):
    """F1, F2, precision and recall (macro, micro) of resampled patches.

    Equal to those of ``metrics`` on the repeated patches.

    Args:
        targets: (n, C), 0 or 1.
        decisions: bool (n, C).
        clusters: (n,), the name of each patch's cluster.
    """

    def __init__(
        self,
        targets: NDArray[np.floating],
        decisions: NDArray[np.bool_],
        clusters: NDArray[np.str_],
    ) -> None:
        truth = targets > 0.5
        parts = {"hits": truth & decisions, "support": truth, "predicted": decisions}
        super().__init__(clusters, parts)

    def __call__(self, weights: NDArray[np.float64]) -> dict[str, float]:
        """The figures where each cluster counts ``weights`` times, (K,)."""
        hits, support, predicted = self.sums(weights).values()
        known = support > 0
        macro = metrics.hit_ratios(hits[known], support[known], predicted[known])
        micro = metrics.hit_ratios(hits.sum(), support.sum(), predicted.sum())
        figures = {}
        for name in macro:
            figures[f"{name}_macro"] = metrics.macro(macro[name])
            figures[f"{name}_micro"] = float(micro[name]) if known.any() else math.nan
        return figures


class PatchFigures(DecisionFigures):
    """``DecisionFigures`` and average precision; scores are sorted only once.

    Args:
        targets: (n, C), 0 or 1.
        scores: (n, C), probabilities.
        decisions: bool (n, C).
        clusters: (n,), the name of each patch's cluster.
    """

    def __init__(
        self,
        targets: NDArray[np.floating],
        scores: NDArray[np.floating],
        decisions: NDArray[np.bool_],
        clusters: NDArray[np.str_],
    ) -> None:
        super().__init__(targets, decisions, clusters)
        truth = targets > 0.5
        self._classes = [_Ranking(t, s) for t, s in zip(truth.T, scores.T, strict=True)]
        self._all = _Ranking(truth.ravel(), scores.ravel())

    def __call__(self, weights: NDArray[np.float64]) -> dict[str, float]:
        """The figures where each cluster counts ``weights`` times, (K,)."""
        of_patch = weights[self._of_patch]
        by_class = np.array([ranking.precision(of_patch) for ranking in self._classes])
        return {
            "ap_macro": metrics.macro(by_class),
            "ap_micro": self._all.precision(np.repeat(of_patch, len(self._classes))),
            **super().__call__(weights),
        }


class _Ranking:
    """Labels in the order of falling scores, equal scores together."""

    def __init__(self, truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order]
        self._truth = truth[self._order]
        self._ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))

    def precision(self, weights: NDArray[np.float64]) -> float:
        """Average precision where each place counts ``weights`` times; NaN without a positive."""
        taken = weights[self._order]
        hits = np.cumsum(taken * self._truth)[self._ends]
        if not len(hits) or not hits[-1]:
            return math.nan
        precision = metrics.ratio(hits, np.cumsum(taken)[self._ends])
        return float(np.diff(hits, prepend=0.0) @ precision / hits[-1])
