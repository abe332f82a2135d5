"""Rank correlation of an estimate with measured transfer, with a confidence interval."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ConstantInputWarning, rankdata, spearmanr

DRAWS: Final = 2000
#: Fewer pairs say nothing about ranks.
FEWEST_PAIRS: Final = 4
_LEVEL: Final = 0.95


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's ρ, and the interval of 95 % around it; None where there is too little."""

    rho: float | None
    low: float | None
    high: float | None
    pairs: int


def rank_correlation(
    sources: Sequence[str],
    targets: Sequence[str],
    estimates: Sequence[float],
    measured: Sequence[float],
    *,
    within_targets: bool = False,
    seed: int = 0,
) -> RankCorrelation:
    """Spearman's rank correlation over pairs (source, target).

    Pairs that share a region are not independent: the interval is a percentile bootstrap that
    draws sources and targets with replacement, each for themselves, a pair as often as its source
    times its target (Owen 2007, the pigeonhole bootstrap). One of pairs would be too narrow.

    Args:
        sources, targets: of the pairs, (n,).
        estimates, measured: (n,), finite.
        within_targets: rank the sources of each target among themselves: which one to borrow from.
        seed: of the draws.
    """
    x, y = np.asarray(estimates, np.float64), np.asarray(measured, np.float64)
    _, row = np.unique(np.asarray(sources, dtype=str), return_inverse=True)
    _, column = np.unique(np.asarray(targets, dtype=str), return_inverse=True)
    if within_targets:
        x, y = (_standardised_ranks(v, column) for v in (x, y))
    rho = _spearman(x, y) if len(x) >= FEWEST_PAIRS else math.nan
    if not math.isfinite(rho):
        return RankCorrelation(None, None, None, len(x))
    random = np.random.default_rng([seed, 0xB007])
    drawn = []
    for _ in range(DRAWS):
        weights = np.ones(len(x), np.int64)
        for group in (row, column):
            count = group.max() + 1
            drawn_groups = random.integers(0, count, count)
            weights *= np.bincount(drawn_groups, minlength=count)[group]
        again = np.repeat(np.arange(len(x)), weights)
        if len(np.unique(again)) >= FEWEST_PAIRS:
            drawn.append(_spearman(x[again], y[again]))
    known = np.array([v for v in drawn if math.isfinite(v)])
    if len(known) < DRAWS / 2:
        # too few regions to draw from
        return RankCorrelation(rho, None, None, len(x))
    low, high = np.quantile(known, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return RankCorrelation(rho, float(low), float(high), len(x))


def _spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    with warnings.catch_warnings():
        # all alike: NaN says so
        warnings.simplefilter("ignore", ConstantInputWarning)
        return float(spearmanr(x, y).statistic)


def _standardised_ranks(
    values: NDArray[np.float64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Ranks within each group, 0..1; 0.5 in a group of one."""
    ranks = np.empty(len(values))
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        own = rankdata(values[rows])
        ranks[rows] = (own - 1) / (len(rows) - 1) if len(rows) > 1 else 0.5
    return ranks
