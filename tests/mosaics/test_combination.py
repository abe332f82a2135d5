"""The observations of a cell as one: against plain arithmetic, cell by cell."""

from __future__ import annotations

from pathlib import Path

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from geolulc.maps.encoding import NODATA
from geolulc.mosaics.combination import combine, combine_cells, combine_pixels, weighted_mean
from geolulc.mosaics.observation_file import ObservationFile
from geolulc.mosaics.observations import Observation

SHARES = st.floats(0, 1, width=32)
WAYS = ("mean", "median", "max", "latest")


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
    assert found.count is not None
    assert found.count.item() == 2
    mean = (0.2 + 0.4 * 0.5) / 1.5
    spread = np.sqrt((1 * (0.2 - mean) ** 2 + 0.5 * (0.4 - mean) ** 2) / 1.5)
    assert found.agreement is not None
    assert found.agreement.item() == pytest.approx(1 - 2 * spread)


@pytest.mark.parametrize("how", WAYS)
def test_weight_zero_is_not_seen(how: str) -> None:
    found = combine(how, stack(0.3, np.nan, 0.9), weigh(1, 0, 0))
    assert found.probabilities.item() == np.float32(0.3)
    assert found.count.item() == 1
    assert np.isnan(found.agreement.item())  # one agrees with nothing
    nothing = combine(how, stack(0.3, np.nan), weigh(0, 0))
    assert np.isnan(nothing.probabilities.item())
    assert nothing.count.item() == 0


def test_agreement_spans_0_to_1() -> None:
    assert combine("mean", stack(0, 1), weigh(1, 1)).agreement.item() == 0
    assert combine("mean", stack(0.7, 0.7, 0.7), weigh(1, 0.3, 0.5)).agreement.item() == 1


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
        combine("mean", p, weights).agreement, 1 - 2 * p.std(0, dtype=np.float64), atol=1e-6
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


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.uint8, (5, 3, 2, 2), elements=st.integers(0, 250)))
def test_pixels_of_equal_weight_are_numpys(steps: np.ndarray) -> None:
    seen = [Observation(one, np.full((2, 2), 0.25, np.float32)) for one in steps]
    expected = {
        "mean": np.rint(steps.mean(axis=0)),
        "median": np.median(steps, axis=0),
        "max": steps.max(axis=0),
        "latest": steps[-1],
    }
    for how, values in expected.items():
        found = combine_pixels(how, iter(seen), 3, (2, 2))
        np.testing.assert_array_equal(found.probabilities, values, how)
        np.testing.assert_array_equal(found.count, 5)
        assert found.agreement is None


@pytest.mark.parametrize("how", WAYS)
def test_nothing_seen_is_no_data(how: str) -> None:
    pixels = combine_pixels(how, iter(()), 3, (2, 4))
    assert (pixels.probabilities == NODATA).all()
    cells = combine_cells(how, [], 0.0, 3, (2, 4))
    assert np.isnan(cells.probabilities).all()
    for found in (pixels, cells):
        assert found.probabilities.shape == (3, 2, 4)
        assert found.count.tolist() == [[0] * 4] * 2


@pytest.mark.parametrize("kind", ["cells", "pixels"])
def test_a_file_gives_back_what_it_was_given(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(3):
        layers = rng.random((4, 5, 7)).astype(np.float32)
        if kind == "cells":
            seen.append(Observation(rng.random((3, 5, 7)).astype(np.float32), *layers))
        else:
            seen.append(Observation(rng.integers(0, 250, (3, 5, 7), np.uint8), layers[0]))
    with ObservationFile(tmp_path) as kept:
        for observation in seen:
            kept.add(observation)
        for first, last in ((0, 2), (2, 5), (0, 5)):
            for found, observation in zip(kept.rows(first, last), seen, strict=True):
                expected = observation.rows(first, last)
                assert found.layers.keys() == expected.layers.keys()
                for name, values in expected.layers.items():
                    assert found.layers[name].dtype == values.dtype
                    np.testing.assert_array_equal(found.layers[name], values, name)
    assert list(tmp_path.iterdir()) == []
