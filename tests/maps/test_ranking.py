"""The most probable classes of cells, and how sure they are: of both encodings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_map import made_map
from made_pixel_map import made_header

from geolulc.maps.encoding import FULL, NODATA
from geolulc.maps.header import LandCoverMap, MapHeader
from geolulc.maps.ranking import (
    doubt,
    entropy,
    frequency_entropy,
    present_classes,
    rank_classes,
)


def a_map(probabilities: dict[str, float], **changes: object) -> LandCoverMap:
    """Everywhere the named classes as given, the others 0; cell (0, 0) has no data."""
    template = made_map(nodata=0)
    p = np.zeros_like(template.block.probabilities)
    for name, value in probabilities.items():
        p[template.header.classes.index(name)] = value
    p[:, 0, 0] = np.nan
    return made_map(nodata=0, probabilities=p, **changes)


def test_the_most_probable_class_comes_first_and_ties_go_to_the_first() -> None:
    header = made_map().header
    p = a_map({"Pastures": 0.6, "Marine waters": 0.9}).block.probabilities
    found = rank_classes(p).dominant(header)
    assert found.dtype == np.uint8
    assert found[0, 0] == 0
    assert set(found.ravel()[1:]) == {19}
    p = a_map({"Pastures": 0.5, "Marine waters": 0.5}).block.probabilities
    assert rank_classes(p).dominant(header)[2, 2] == 5


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("count", [1, 2, 3, 19, 43, 256, 257, 400])
def test_ranks_are_those_of_sorting(dtype: str, count: int) -> None:
    rng = np.random.default_rng(count)
    steps = rng.integers(0, 5, (count, 70, 90))  # many ties
    p = steps.astype(np.uint8) if dtype == "uint8" else (steps / 8).astype(np.float32)
    found = rank_classes(p)
    order = np.argsort(-steps, axis=0, kind="stable")[:3]
    np.testing.assert_array_equal(found.index, order)
    np.testing.assert_array_equal(found.probabilities, np.take_along_axis(p, order, axis=0))
    assert found.mapped.all()


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_no_data_in_one_class_is_no_data(dtype: str) -> None:
    nothing = NODATA if dtype == "uint8" else np.nan
    p = np.ones((4, 3, 5), dtype)
    p[2, 1, 1] = nothing
    found = rank_classes(p)
    assert not found.mapped[1, 1]
    assert found.mapped.sum() == 14
    np.testing.assert_array_equal(found.probabilities[:, 1, 1], [nothing] * 3)


def test_steps_above_the_highest_are_refused() -> None:
    with pytest.raises(ValueError, match="between 250 and 255"):
        rank_classes(np.full((3, 2, 2), FULL + 1, np.uint8))


def test_presence_is_reaching_the_classs_own_threshold() -> None:
    thresholds = np.full(19, 0.5)
    thresholds[4] = 0.6
    made = a_map({"Pastures": 0.6, "Marine waters": 0.49}, thresholds=tuple(thresholds))
    present = present_classes(made.header, made.block.shares)
    assert present[4, 1, 1] == 1
    assert present[18, 1, 1] == 0
    assert (present[:, 0, 0] == 255).all()


def test_without_thresholds_one_half_decides() -> None:
    made = a_map({"Pastures": 0.5, "Marine waters": 0.49}, thresholds=())
    present = present_classes(made.header, made.block.shares)
    assert present[4, 1, 1] == 1
    assert present[18, 1, 1] == 0


def test_a_threshold_for_each_class_or_none() -> None:
    header: MapHeader = made_header()
    with pytest.raises(ValueError, match="2 thresholds for 19 classes"):
        made_header(thresholds=(0.5, 0.5))
    assert set(header.presence_thresholds) == {0.5}


def test_entropy_and_margin() -> None:
    sure = a_map({"Pastures": 1.0}).block.probabilities
    assert entropy(sure, exclusive=False)[1, 1] == 0
    assert rank_classes(sure).margin[1, 1] == 1
    assert np.isnan(entropy(sure, exclusive=False)[0, 0])
    assert np.isnan(rank_classes(sure).margin[0, 0])
    unsure = a_map({"Pastures": 0.5, "Marine waters": 0.25}).block.probabilities
    assert entropy(unsure, exclusive=False)[1, 1] == pytest.approx((1 + 0.8112781) / 19)
    assert rank_classes(unsure).margin[1, 1] == 0.25
    assert rank_classes(unsure[4:5]).margin[1, 1] == 0.5


def test_entropy_of_classes_that_exclude_each_other() -> None:
    p = np.zeros((19, 5, 6), np.float32)
    p[3] = 1
    p[:, 1, 1] = 1 / len(p)
    p[:, 2, 2] = 0
    p[:2, 2, 2] = 0.5
    p[0, 3, 3] = np.nan
    found = entropy(p, exclusive=True)
    assert found[0, 0] == 0
    assert found[1, 1] == pytest.approx(1, abs=1e-5)
    assert found[2, 2] == pytest.approx(1 / np.log2(19), abs=1e-5)
    assert np.isnan(found[3, 3])


def test_doubt_is_relative_to_the_class_frequencies() -> None:
    """Who knows only how frequent classes are is at 1, however rare these are."""
    frequencies = (0.3, 0.02, *[0.01] * 17)
    header = made_map(frequencies=frequencies).header
    alone = frequency_entropy(header)
    assert alone == pytest.approx((0.8813 + 0.1414 + 17 * 0.0808) / 19, abs=1e-4)
    p = np.repeat(np.array(frequencies, np.float32), 30).reshape(19, 5, 6)
    p[:, 0, 0] = np.nan
    p[:, 1, 1] = 0
    p[:, 2, 2] = 0.5
    found = doubt(header, p)
    assert np.isnan(found[0, 0])
    assert found[1, 1] == 0
    assert found[2, 2] == pytest.approx(1 / alone)
    assert found[3, 3] == pytest.approx(1)
    # where they are not known, leave nothing open, or are not of pixels, there is no such scale
    for unknown in (made_map().header, made_map(frequencies=(0.0,) * 19).header):
        assert frequency_entropy(unknown) is None
        np.testing.assert_array_equal(doubt(unknown, p), entropy(p, exclusive=False))
    assert frequency_entropy(replace(header, exclusive=True)) is None
