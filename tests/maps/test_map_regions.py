"""Regions of codes: compared with labelling code by code."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from geolulc.maps.regions import find_regions


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 30), st.integers(1, 30))
def test_regions_are_those_of_labelling(seed: int, classes: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, classes + 1, (rows, columns), np.uint8)
    regions = find_regions(codes)
    owner = regions.labels
    np.testing.assert_array_equal(regions.code[owner], codes)
    np.testing.assert_array_equal(np.bincount(owner.ravel()), regions.cells)
    # in the order of their first cells
    assert (np.diff(np.unique(owner, return_index=True)[1]) > 0).all()
    values = rng.random(codes.shape)
    expected = np.bincount(owner.ravel(), weights=values.ravel())
    np.testing.assert_allclose(regions.sums(values), expected)
    assert len(regions.code) == sum(label(codes == code)[1] for code in np.unique(codes))
    for code in np.unique(codes):
        labels, count = label(codes == code)
        pairs = set(zip(labels.ravel().tolist(), owner.ravel().tolist(), strict=True))
        assert len([pair for pair in pairs if pair[0]]) == count


def test_neighbours_touch_along_an_edge() -> None:
    codes = np.array([[1, 1, 2], [3, 1, 2], [3, 0, 1]], np.uint8)
    regions = find_regions(codes)
    assert [tuple(pair) for pair in regions.neighbours()] == [
        (0, 1), (0, 2), (0, 3), (1, 4), (2, 3), (3, 4),
    ]  # fmt: skip


def test_regions_across_parts() -> None:
    codes = np.ones((1300, 40), np.uint8)
    codes[:, 20] = 2
    codes[700, 20] = 1
    regions = find_regions(codes)
    assert sorted(regions.cells) == [599, 700, 40 * 1300 - 1299]
    assert regions.labels[700, 20] == regions.of_run[0]
