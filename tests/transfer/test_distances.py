"""Distances between regions: known values, bounds, and what they tell apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import sqrtm

from geolulc.transfer import distances, estimates
from geolulc.transfer.settings import TransferConfig

LABEL_DISTANCES = (distances.chi_square, distances.jensen_shannon, distances.cooccurrence)
targets = arrays(np.float32, (6, 4), elements=st.sampled_from([0.0, 1.0])).filter(np.any)


def test_chi_square_by_hand() -> None:
    # shares (3/4, 1/4) and (1/4, 3/4): ½ (¼ + ¼) = ¼
    source = np.array([[1, 0], [1, 0], [1, 1]], np.float32)
    target = source[:, ::-1]
    assert distances.chi_square(source, target) == pytest.approx(0.25)


def test_chi_square_counts_labels_not_patches() -> None:
    once = np.array([[1, 1, 0]], np.float32)
    assert distances.chi_square(once, np.repeat(once, 7, axis=0)) == pytest.approx(0)


@pytest.mark.parametrize("distance", LABEL_DISTANCES)
def test_regions_without_a_common_class_are_as_far_as_can_be(distance) -> None:
    source, target = np.array([[1, 1, 0, 0]], np.float32), np.array([[0, 0, 1, 1]], np.float32)
    assert distance(source, target) == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(targets, targets)
def test_label_distances_are_symmetric_and_within_0_and_1(source, target) -> None:
    for distance in LABEL_DISTANCES:
        value = distance(source, target)
        assert -1e-9 <= value <= 1 + 1e-9
        assert value == pytest.approx(distance(target, source))
        assert distance(source, source) == pytest.approx(0, abs=1e-6)


def test_relative_entropy_minds_what_the_source_lacks() -> None:
    both = np.array([[1, 0], [0, 1]] * 10, np.float32)
    one = np.array([[1, 0]] * 20, np.float32)
    # from a source that has more than the target needs; from one that lacks a class
    assert distances.relative_entropy(both, one) == pytest.approx(1, abs=0.05)
    assert distances.relative_entropy(one, both) > 1.5


def test_cooccurrence_sees_what_label_distributions_do_not() -> None:
    together = np.array([[1, 1], [1, 1], [0, 0], [0, 0]], np.float32)
    apart = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    assert distances.chi_square(together, apart) == pytest.approx(0)
    assert distances.cooccurrence(together, apart) > 0.3


def test_frechet_of_shifted_and_of_scaled_features() -> None:
    random = np.random.default_rng(0)
    features = random.standard_normal((500, 3)) @ random.standard_normal((3, 3))
    assert distances.frechet(features, features + np.array([3, 4, 0])) == pytest.approx(5)
    covariance = np.cov(features, rowvar=False)
    # doubled about the mean: the trace of the covariance is left, (2 - 1)² times
    doubled = 2 * features - features.mean(axis=0)
    assert distances.frechet(features, doubled) == pytest.approx(np.trace(covariance) ** 0.5)


def test_frechet_by_the_textbook() -> None:
    random = np.random.default_rng(1)
    first, second = random.standard_normal((60, 4)), random.standard_normal((80, 4)) * [1, 2, 3, 4]
    s, t = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    squared = np.sum((first.mean(0) - second.mean(0)) ** 2)
    squared += np.trace(s + t - 2 * np.real(sqrtm(s @ t)))
    assert distances.frechet(first, second) == pytest.approx(squared**0.5, rel=1e-6)


def test_distances_of_features_do_not_grow_as_a_region_shrinks(monkeypatch) -> None:
    """Regions of one distribution, of 2,000 and 300 patches: both take as many."""
    random = np.random.default_rng(0)
    spectrum = 1 / np.arange(1, 65)
    drawn = random.normal(size=(4600, 64)) * np.sqrt(spectrum)
    sizes = {"large": 2000, "other": 2000, "small": 600}
    regions = {
        name: {"train": np.arange(size) + start}
        for (name, size), start in zip(sizes.items(), (0, 2000, 4000), strict=True)
    }
    monkeypatch.setattr(estimates, "spectral_features", lambda _, positions: drawn[positions])
    found, count = estimates._features(
        None, regions, TransferConfig(sources=tuple(sizes), targets=tuple(sizes)), None, "cpu"
    )
    assert count == 300
    of_region = found["spectral"]
    apart = {
        (a, b): distances.frechet(of_region[a][:count], of_region[b][count:])
        for a in sizes
        for b in sizes
    }
    assert max(apart.values()) < 1.15 * min(apart.values())
    # what the whole regions would say: the small one is far from all
    whole = distances.frechet(drawn[:2000], drawn[2000:4000])
    assert distances.frechet(drawn[:2000], drawn[4000:]) > 1.3 * whole
