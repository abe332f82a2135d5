"""Intervals hold the truth as often as they say, where patches of a tile are alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from geolulc.learning import metrics
from geolulc.learning.intervals import (
    Difference,
    PatchFigures,
    clusters_of,
    differences,
    interval,
    intervals,
    resample,
)


def make_scores(seed: int, tiles: int = 20, patches: int = 15, noise: float = 1.0):
    """Targets, scores (with ties) and tiles of patches whose tile decides how hard they are."""
    random = np.random.default_rng(seed)
    clusters = np.repeat([f"T{i}" for i in range(tiles)], patches)
    hard = np.repeat(random.normal(0, 1, (tiles, 1)), patches, axis=0)
    targets = (random.random((len(clusters), 4)) < [0.5, 0.3, 0.2, 0.02]).astype(np.float32)
    z = 2 * targets - 1.5 + hard + random.normal(0, noise, targets.shape)
    return targets, np.round(expit(z), 2), clusters


def test_figures_of_repeated_patches_are_those_of_metrics() -> None:
    targets, scores, clusters = make_scores(0)
    decisions = scores >= 0.4
    figures = PatchFigures(targets, scores, decisions, clusters)
    assert figures.clusters == 20
    weights = np.random.default_rng(1).integers(0, 3, 20).astype(float)
    names = np.unique(clusters)
    times = weights[np.searchsorted(names, clusters)].astype(int)
    rows = np.repeat(np.arange(len(clusters)), times)
    t, s, d = targets[rows], scores[rows], decisions[rows]
    found = figures(weights)
    assert found["ap_macro"] == pytest.approx(metrics.macro(metrics.average_precision(t, s)))
    assert found["ap_micro"] == pytest.approx(metrics.micro_average_precision(t, s))
    expected = metrics.decision_figures(t, d)
    for name in set(found) - {"ap_macro", "ap_micro"}:
        assert found[name] == pytest.approx(expected[name]), name


def test_intervals_cover_the_truth() -> None:
    """A mean over clusters: known, and with an interval of patches far too narrow."""
    covered = narrow = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        means = random.normal(0, 1, 30)
        low, high = intervals(lambda w, m=means: {"mean": float(w @ m / w.sum())}, 30)["mean"]
        covered += low <= 0 <= high
        # as if each cluster were ten patches of their own
        narrow += abs(means.mean()) <= 1.96 * means.std() / math.sqrt(300)
    assert covered >= 52
    assert narrow < 35


def test_a_paired_difference_sees_what_two_intervals_hide() -> None:
    targets, scores, clusters = make_scores(2, noise=0.5)
    worse = np.clip(scores + np.random.default_rng(3).normal(0, 0.15, scores.shape), 0, 1)
    a, b = (PatchFigures(targets, s, s >= 0.4, clusters) for s in (scores, worse))
    found = differences([(a, b)], a.clusters)["ap_micro"]
    assert found.first > found.second
    assert found.is_real
    assert found.p < 0.05
    alone = [intervals(f, f.clusters)["ap_micro"] for f in (a, b)]
    assert alone[0][0] < alone[1][1]  # they overlap
    same = differences([(a, a)], a.clusters)["ap_micro"]
    assert (same.low, same.high, same.p, same.is_real) == (0, 0, 1, False)


def test_seeds_that_disagree_widen_the_interval() -> None:
    targets, scores, clusters = make_scores(5, noise=0.5)
    random = np.random.default_rng(6)

    def noisy(amount: float) -> PatchFigures:
        z = np.clip(scores + random.normal(0, amount, scores.shape), 0, 1)
        return PatchFigures(targets, z, z >= 0.4, clusters)

    best = PatchFigures(targets, scores, scores >= 0.4, clusters)
    one = differences([(noisy(0.02), best)], best.clusters)["ap_micro"]
    apart = [(noisy(0.02), best), (noisy(0.4), best)]
    two = differences(apart, best.clusters)["ap_micro"]
    assert two.high - two.low > one.high - one.low
    means = [pair[0](np.ones(best.clusters))["ap_micro"] for pair in apart]
    assert two.first == pytest.approx(np.mean(means))


def test_few_clusters_have_no_interval() -> None:
    targets, scores, clusters = make_scores(4, tiles=4)
    figures = PatchFigures(targets, scores, scores > 0.4, clusters)
    assert resample(figures, figures.clusters) == {}
    assert intervals(figures, figures.clusters) == {}
    found = differences([(figures, figures)], figures.clusters)["ap_macro"]
    assert isinstance(found, Difference)
    assert math.isnan(found.low)
    assert math.isnan(found.p)
    assert not found.is_real


def test_a_figure_without_data_has_no_interval() -> None:
    assert all(map(math.isnan, interval(np.full(9, math.nan), math.nan)))


def test_clusters_are_tiles_or_acquisitions() -> None:
    keys = ("S2A_MSIL2A_20170613T101031_87_48", "S2B_MSIL2A_20170614T101031_1_2")
    assert clusters_of(("T33UUP", None), keys).tolist() == [
        "T33UUP",
        "S2B_MSIL2A_20170614T101031",
    ]
