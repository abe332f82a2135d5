"""Statistics from histograms against numpy on the pixels themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geolulc.bands import BAND_NAMES, GROUPS
from geolulc.datasets.patch import BIGEARTHNET
from geolulc.datasets.statistics import PERCENTILES, BandHistograms, BandStatistics


def random_dn(rng: np.random.Generator, high: int) -> dict[int, np.ndarray]:
    return {r: rng.integers(0, high, s).astype(np.uint16) for r, s in BIGEARTHNET.shapes.items()}


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), high=st.sampled_from([2, 300, 1 << 16]), n=st.integers(1, 3))
def test_exact_against_numpy(seed: int, high: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    patches = [random_dn(rng, high) for _ in range(n)]
    histograms = BandHistograms()
    for dn in patches:
        histograms.add(dn)
    statistics = histograms.statistics()
    assert set(statistics) == set(BAND_NAMES)
    for resolution, names in GROUPS.items():
        for channel, name in enumerate(names):
            pixels = np.stack([p[resolution][channel] for p in patches]).ravel().astype(np.float64)
            nodata = int((pixels == 0).sum())
            pixels = pixels[pixels != 0]
            found = statistics[name]
            assert (found.pixels, found.nodata_pixels) == (pixels.size, nodata)
            assert found.mean == pytest.approx(pixels.mean(), rel=1e-12)
            assert found.std == pytest.approx(pixels.std(), rel=1e-9, abs=1e-9)
            assert (found.minimum, found.maximum) == (pixels.min(), pixels.max())
            for q in PERCENTILES:
                assert found.percentiles[q] == pytest.approx(np.percentile(pixels, q), rel=1e-12)


def test_parts_merge_to_the_whole_in_any_order() -> None:
    rng = np.random.default_rng(1)
    patches = [random_dn(rng, 5000) for _ in range(4)]
    whole, first, second = BandHistograms(), BandHistograms(), BandHistograms()
    for i, dn in enumerate(patches):
        whole.add(dn)
        (first if i % 2 else second).add(dn)
    first.merge(BandHistograms.from_sparse(*second.sparse()))
    np.testing.assert_array_equal(first.counts, whole.counts)
    assert first.statistics() == whole.statistics()


def test_large_counts_do_not_overflow() -> None:
    histograms = BandHistograms()
    histograms.counts[0, 30000] = 10**14
    histograms.counts[0, 30002] = 10**14
    found = histograms.statistics()["B02"]
    assert found.mean == 30001.0
    assert found.std == 1.0


def test_nothing_but_nodata_is_nan_and_survives_json() -> None:
    histograms = BandHistograms()
    histograms.add({r: np.zeros(s, np.uint16) for r, s in BIGEARTHNET.shapes.items()})
    found = histograms.statistics()["B01"]
    assert math.isnan(found.mean)
    assert found.nodata_pixels == 400
    again = BandStatistics.from_json(found.to_json())
    assert again.to_json() == found.to_json()
    assert math.isnan(again.percentiles[50])
