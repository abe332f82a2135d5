"""The observations of a cell as one: against plain arithmetic, cell by cell."""

from __future__ import annotations

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from geolulc.mosaics.combination import combine, weighted_mean

SHARES = st.floats(0, 1, width=32)


def stack(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None, None, None]


def weigh(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None, None]


@pytest.mark.parametrize(
    ("how", "expected"),
    [("mean", (0.2 * 1 + 0.4 * 0.5) / 1.5), ("median", 0.2), ("max", 0.4), ("latest", 0.4)],
)
def test_two_observations(how: str, expected: float) -> None:
    found = combine(how, stack(0.2, 0.4), weigh(1, 0.5))
    assert found.probabilities.item() == pytest.approx(expected)
    assert found.count.item() == 2
    mean = (0.2 + 0.4 * 0.5) / 1.5
    spread = np.sqrt((1 * (0.2 - mean) ** 2 + 0.5 * (0.4 - mean) ** 2) / 1.5)
    assert found.confidence.item() == pytest.approx(1 - 2 * spread)


def test_weight_zero_is_not_seen() -> None:
    for how in ("mean", "median", "max", "latest"):
        found = combine(how, stack(0.3, np.nan, 0.9), weigh(1, 0, 0))
        assert found.probabilities.item() == np.float32(0.3), how
        assert found.count.item() == 1
        assert np.isnan(found.confidence.item())  # one agrees with nothing
        nothing = combine(how, stack(0.3, np.nan), weigh(0, 0))
        assert np.isnan(nothing.probabilities.item()), how
        assert nothing.count.item() == 0


def test_confidence_spans_0_to_1() -> None:
    assert combine("mean", stack(0, 1), weigh(1, 1)).confidence.item() == 0
    assert combine("mean", stack(0.7, 0.7, 0.7), weigh(1, 0.3, 0.5)).confidence.item() == 1


def test_median_between_two_halves() -> None:
    assert combine("median", stack(0.2, 0.6), weigh(1, 1)).probabilities.item() == (
        pytest.approx(0.4)
    )
    assert combine("median", stack(0.9, 0.1, 0.2), weigh(1, 1, 1)).probabilities.item() == (
        pytest.approx(0.2)
    )


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.float32, (5, 3, 2, 2), elements=SHARES))
def test_equal_weights_are_numpys(p: np.ndarray) -> None:
    weights = np.full((5, 2, 2), 0.25, np.float32)
    np.testing.assert_allclose(combine("mean", p, weights).probabilities, p.mean(0), atol=1e-6)
    np.testing.assert_array_equal(combine("median", p, weights).probabilities, np.median(p, axis=0))
    np.testing.assert_array_equal(combine("max", p, weights).probabilities, p.max(0))
    np.testing.assert_array_equal(combine("latest", p, weights).probabilities, p[-1])
    np.testing.assert_allclose(
        combine("mean", p, weights).confidence, 1 - 2 * p.std(0, dtype=np.float64), atol=1e-6
    )


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(np.float32, (4, 2, 1, 3), elements=SHARES),
    arrays.arrays(np.float32, (4, 1, 3), elements=SHARES),
)
def test_order_does_not_matter_but_to_the_latest(p: np.ndarray, weights: np.ndarray) -> None:
    for how in ("mean", "median", "max"):
        one, other = combine(how, p, weights), combine(how, p[::-1], weights[::-1])
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)
        np.testing.assert_array_equal(one.count, other.count)


def test_means_of_what_is_known() -> None:
    found = weighted_mean(weigh(0.5, np.nan, 1), weigh(1, 1, 3))
    assert found.item() == pytest.approx((0.5 + 3) / 4)
    assert np.isnan(weighted_mean(weigh(np.nan), weigh(1)).item())
