"""Rank correlation with an interval that knows that pairs share regions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import spearmanr

from geolulc.transfer.correlation import rank_correlation

NAMES = "abcdefgh"
PAIRS = [(s, t) for s, t in itertools.product(NAMES, NAMES) if s != t]
SOURCES, TARGETS = zip(*PAIRS, strict=True)


def test_a_perfect_estimate() -> None:
    values = np.random.default_rng(0).random(len(PAIRS))
    found = rank_correlation(SOURCES, TARGETS, values, -(values**3))
    assert (found.rho, found.low, found.high) == (pytest.approx(-1), *[pytest.approx(-1)] * 2)
    assert found.pairs == len(PAIRS)


def test_rho_is_that_of_scipy_and_lies_in_its_interval() -> None:
    random = np.random.default_rng(1)
    x = random.random(len(PAIRS))
    y = x + random.normal(0, 0.3, len(PAIRS))
    found = rank_correlation(SOURCES, TARGETS, x, y)
    assert found.rho == pytest.approx(spearmanr(x, y).statistic)
    assert found.low < found.rho < found.high
    assert found.low > 0
    assert rank_correlation(SOURCES, TARGETS, x, y) == found  # seeded


def test_an_estimate_that_says_nothing_has_an_interval_around_0() -> None:
    random = np.random.default_rng(2)
    found = rank_correlation(SOURCES, TARGETS, random.random(len(PAIRS)), random.random(len(PAIRS)))
    assert found.low < 0 < found.high


def test_the_interval_is_wider_where_regions_and_not_pairs_are_drawn() -> None:
    # a source is good or bad as a whole: 56 pairs hold 8 independent values
    random = np.random.default_rng(3)
    x, y = random.random(8), random.random(8)
    row = np.array([NAMES.index(s) for s in SOURCES])
    found = rank_correlation(SOURCES, TARGETS, x[row], y[row])
    assert found.high - found.low > 0.8  # of pairs: about 0.5


def test_within_targets_the_level_of_a_target_is_nothing() -> None:
    random = np.random.default_rng(4)
    x = random.random(len(PAIRS))
    level = np.array([NAMES.index(t) * 10.0 for t in TARGETS])
    across = rank_correlation(SOURCES, TARGETS, x, level - x)
    within = rank_correlation(SOURCES, TARGETS, x, level - x, within_targets=True)
    assert across.rho > -0.5
    assert within.rho == pytest.approx(-1)


@pytest.mark.parametrize("values", [[1, 2, 3], [5, 5, 5, 5]])
def test_too_little_gives_nothing(values) -> None:
    pairs = PAIRS[: len(values)]
    found = rank_correlation(*zip(*pairs, strict=True), values, values)
    assert (found.rho, found.low, found.high) == (None, None, None)
