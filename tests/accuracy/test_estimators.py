from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t

from geolulc.accuracy.estimators import (
    UNKNOWN,
    Accuracy,
    Estimate,
    Sample,
    estimate_accuracy,
    estimate_presence,
)

# Olofsson et al. 2014, section 4: deforestation, gain, stable forest, stable non-forest
OLOFSSON = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
# Stehman 2014, table 2, as quoted in the documentation of R's mapaccuracy
STRATA = "A" * 10 + "B" * 10 + "C" * 10 + "D" * 10
MAP = "A" * 7 + "BBB" + "A" + "B" * 11 + "C" * 6 + "BB" + "D" * 10
REFERENCE = "AAAAACBABC" + "ABBBBBAABB" + "CCCCCDDBBA" + "DDDDDDDCCB"


def positions(text: str) -> NDArray[np.intp]:
    return np.array(["ABCD".index(letter) for letter in text], np.intp)


def printed(estimates: tuple[Estimate, ...] | list[Estimate], digits: int) -> list[str]:
    return [f"{e.estimate:,.{digits}f} ± {e.ci95:,.{digits}f}" for e in estimates]


@pytest.fixture(scope="module")
def worked() -> Accuracy:
    mapped, reference = (np.repeat(i.ravel(), OLOFSSON.ravel()) for i in np.indices((4, 4)))
    units = np.array([0.02, 0.015, 0.32, 0.645]) * 10_000_000
    return estimate_accuracy(Sample(mapped, units * 0.09, units), mapped, reference, 4)


@pytest.fixture(scope="module")
def stehman() -> Accuracy:
    units = np.array([40000.0, 30000, 20000, 10000])
    sample = Sample(positions(STRATA), units, units)
    return estimate_accuracy(sample, positions(MAP), positions(REFERENCE), 4)


def test_the_worked_example_of_olofsson_to_its_last_digit(worked: Accuracy) -> None:
    assert printed([worked.overall], 3) == ["0.947 ± 0.018"]
    assert printed(worked.users, 3) == [
        "0.880 ± 0.074", "0.733 ± 0.101", "0.927 ± 0.040", "0.963 ± 0.021",
    ]  # fmt: skip
    assert printed(worked.producers, 3) == [
        "0.749 ± 0.213", "0.847 ± 0.254", "0.935 ± 0.034", "0.962 ± 0.018",
    ]  # fmt: skip
    assert printed(worked.area_ha, 0) == [
        "21,158 ± 6,158", "11,686 ± 3,756", "285,770 ± 15,510", "581,386 ± 16,282",
    ]  # fmt: skip
    np.testing.assert_array_equal(worked.counts, OLOFSSON)
    assert worked.proportions.sum() == pytest.approx(1)
    assert worked.proportions[0, 0] == pytest.approx(0.0176)


def test_the_table_of_stehman_2014(stehman: Accuracy) -> None:
    def both(e: Estimate) -> tuple[str, str]:
        return f"{e.estimate:.3f}", f"{e.standard_error:.3f}"

    # pages 4932 to 4936
    assert both(stehman.overall) == ("0.630", "0.085")
    assert both(stehman.users[1]) == ("0.574", "0.125")
    assert both(stehman.producers[1]) == ("0.794", "0.117")
    assert both(stehman.area_ha[0].times(1e-5)) == ("0.350", "0.082")
    assert both(stehman.area_ha[2].times(1e-5)) == ("0.200", "0.064")
    assert stehman.proportions[1, 2] == pytest.approx(0.08)


def test_the_values_of_r_packages_for_that_table(stehman: Accuracy) -> None:
    # printed by mapac::aa_stratified(); of F1, whose errors it takes otherwise, the estimates
    users = [(0.7419355, 0.1645627), (0.5744681, 0.1248023), (0.5, 0.2151657), (0.7, 0.1527525)]
    producers = [
        (0.6571429, 0.1477318), (0.7941176, 0.1165671), (0.3, 0.1504438), (0.6363636, 0.1623242),
    ]  # fmt: skip
    for found, oracle in ((stehman.users, users), (stehman.producers, producers)):
        assert [(e.estimate, e.standard_error) for e in found] == [
            pytest.approx(values, abs=1e-7) for values in oracle
        ]
    f1 = [0.6969697, 0.6666667, 0.375, 0.6666667]
    assert [e.estimate for e in stehman.f1] == pytest.approx(f1, abs=1e-7)
    whole = np.array([[23, 4, 4, 0], [12, 27, 8, 0], [0, 2, 6, 4], [0, 1, 2, 7]]) / 100
    np.testing.assert_allclose(stehman.proportions, whole, atol=1e-12)


def test_kappa_of_the_worked_example(worked: Accuracy) -> None:
    p = worked.proportions
    chance = sum(p[k].sum() * p[:, k].sum() for k in range(4))
    assert worked.kappa == pytest.approx((np.trace(p) - chance) / (1 - chance))


def test_a_census_has_no_error() -> None:
    mapped, reference = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    found = estimate_accuracy(
        Sample(mapped, np.array([2.0, 2.0]), np.array([2.0, 2.0])), mapped, reference, 2
    )
    assert found.overall == Estimate(0.75, 0.0, 0.0)
    assert found.area_ha[1] == Estimate(3.0, 0.0, 0.0)


def test_one_point_of_a_stratum_has_no_error_and_none_no_estimate() -> None:
    mapped = np.array([0, 0, 0, 1])
    reference = np.array([0, 0, 1, 1])
    units = np.array([50.0, 40, 10])
    found = estimate_accuracy(Sample(mapped, units, units), mapped, reference, 3)
    assert found.users[0].standard_error is not None
    assert found.users[1] == Estimate(1.0, None, None)
    assert found.overall.standard_error is None
    assert found.users[2] == found.producers[2] == Estimate(None, None, None)


def test_ground_without_data_in_the_map_belongs_to_the_strata_alone() -> None:
    mapped = np.array([0, 0, UNKNOWN, UNKNOWN, 1, 1])
    reference = np.array([0, 1, 0, 0, 1, 1])
    stratum = np.array([0, 0, 0, 0, 1, 1])
    found = estimate_accuracy(
        Sample(stratum, np.array([40.0, 60]), np.array([np.inf, np.inf])), mapped, reference, 2
    )
    assert found.overall.estimate == pytest.approx((10 + 60) / 80)
    assert found.area_ha[0].estimate == pytest.approx(10)
    assert found.counts.sum() == 4


def test_a_second_class_that_is_right_counts_for_accuracy_and_not_for_area() -> None:
    mapped = np.array([0, 0, 1, 1])
    reference = np.array([0, 1, 1, 0])
    alternative = np.array([UNKNOWN, 0, UNKNOWN, UNKNOWN])
    units = np.array([10.0, 10])
    sample = Sample(mapped, units, units)
    strict = estimate_accuracy(sample, mapped, reference, 2)
    kind = estimate_accuracy(sample, mapped, reference, 2, alternative=alternative)
    assert (strict.overall.estimate, kind.overall.estimate) == (0.5, 0.75)
    assert kind.area_ha == strict.area_ha
    assert kind.counts.tolist() == [[2, 0], [1, 1]]


# How often intervals cover the truth. A sample is a number of points of each kind, a kind is the
# answer of the map and that of the reference: so 10,000 samples are a few arrays, with formulas of
# their own. The first of them go through the estimators too, point by point, with the same result.

REPEATS = 10_000
Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]
#: Values of a kind of points whose totals a figure divides.
Figures = dict[str, tuple[Counts, Counts]]


@dataclass(frozen=True)
class Samples:
    """Samples of one design.

    Attributes:
        areas: (stratum,): pixels.
        inside: (sample or 1, stratum, unit, kind): points of each kind in a sampling unit.
        times: (sample, stratum, unit): how often such a unit was drawn.
        left: (stratum,): share of the units that are not drawn, or 1 (no correction).
        quantile: half width of the intervals in standard errors.
    """

    areas: Numbers
    inside: Counts
    times: Counts
    left: Numbers
    quantile: float = 1.96

    def ratios(self, upper: Counts, lower: Counts) -> tuple[Numbers, Numbers]:
        """Estimates and standard errors (sample,): Stehman 2014, eqs. 27 and 28."""
        inside = self.inside.astype(float)
        points = np.einsum("shu,shuk->shk", self.times.astype(float), inside)
        weight = self.areas / points.sum(axis=-1)
        total = (weight * (points @ lower)).sum(axis=-1)
        ratio = (weight * (points @ upper)).sum(axis=-1) / total
        residuals = (upper - ratio[:, None] * lower)[:, None, :, None]
        mean = (points[..., None, :] @ residuals)[..., 0] / points.sum(axis=-1, keepdims=True)
        apart = (inside @ residuals)[..., 0] - mean * inside.sum(axis=-1)
        drawn = self.times.sum(axis=-1)
        squares = (self.times * apart**2).sum(axis=-1) * drawn / (drawn - 1)
        return ratio, np.sqrt((weight**2 * self.left * squares).sum(axis=-1)) / total


def draw(members: Counts, number: int, rng: np.random.Generator, *repeats: int) -> Counts:
    """Kinds (*repeats, ..., kind) of ``number`` points, drawn from ``members`` (..., kind)."""
    members = np.broadcast_to(members, (*repeats, *members.shape))
    left = np.full(members.shape[:-1], number)
    drawn = np.empty_like(members)
    for kind in range(members.shape[-1]):
        others = members[..., kind + 1 :].sum(axis=-1)
        drawn[..., kind] = rng.hypergeometric(members[..., kind], others, left)
        left -= drawn[..., kind]
    return drawn


def stratified(members: Counts, rng: np.random.Generator) -> Samples:
    """Samples of 300 points of each stratum of ``members`` (stratum, kind)."""
    areas = members.sum(axis=-1).astype(float)
    share = 300 / areas
    kinds = np.eye(members.shape[-1], dtype=int)[None, None]
    left = np.where(share > 0.05, 1 - share, 1)
    return Samples(areas, kinds, draw(members, 300, rng, REPEATS), left)


def check_coverage(
    samples: Samples,
    members: Counts,
    figures: Figures,
    estimate: Callable[[int], dict[str, Estimate]],
) -> None:
    """Intervals hold the truth of all members (kind,), and ``estimate`` of a sample is the same."""
    estimators = [estimate(number) for number in range(20)]
    for name, (upper, lower) in figures.items():
        truth = (members @ upper) / (members @ lower)
        ratio, error = samples.ratios(upper, lower)
        width = samples.quantile * error
        bias = abs(float(ratio.mean()) - truth)
        assert bias <= 4 * error.mean() / math.sqrt(REPEATS) + 0.004 * truth, name
        assert 0.93 <= (np.abs(ratio - truth) <= width).mean() <= 0.97, name
        for number, found in enumerate(estimators):
            assert found[name].estimate == pytest.approx(ratio[number]), name
            assert found[name].standard_error == pytest.approx(error[number]), name
            assert found[name].ci95 == pytest.approx(width[number]), name


@pytest.fixture(scope="module")
def population() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Map and reference of 40,000 pixels in three classes, a tenth of them in the rare one."""
    rng = np.random.default_rng(5)
    reference = rng.choice(3, 40_000, p=[0.5, 0.4, 0.1])
    wrong = rng.random(reference.size) < np.array([0.2, 0.25, 0.3])[reference]
    mapped = np.where(wrong, (reference + rng.integers(1, 3, reference.size)) % 3, reference)
    return mapped, reference


#: Classes of the map and the reference of each kind, and the figures of the rare class.
OF_MAP, OF_TRUTH = (kinds.ravel() for kinds in np.indices((3, 3)))
IN_MAP, IN_TRUTH = (OF_MAP == 2).astype(int), (OF_TRUTH == 2).astype(int)
EVERYWHERE = np.ones(9, int)
RARE: Figures = {
    "overall": ((OF_MAP == OF_TRUTH).astype(int), EVERYWHERE),
    "users": (IN_MAP & IN_TRUTH, IN_MAP),
    "producers": (IN_MAP & IN_TRUTH, IN_TRUTH),
    "f1": (2 * (IN_MAP & IN_TRUTH), IN_MAP + IN_TRUTH),
    "area_ha": (IN_TRUTH, EVERYWHERE),
}


def points(times: Counts) -> tuple[Counts, Counts]:
    """Stratum or cluster, and kind, of each point; ``times`` (group, kind) says how many."""
    first, kind = (np.repeat(each.ravel(), times.ravel()) for each in np.indices(times.shape))
    return first, kind


def figures_of_rare(found: Accuracy, ground: float) -> dict[str, Estimate]:
    return {
        "overall": found.overall,
        "users": found.users[2],
        "producers": found.producers[2],
        "f1": found.f1[2],
        "area_ha": found.area_ha[2].times(1 / ground),
    }


@pytest.mark.parametrize("strata", ["map classes", "other strata"])
def test_intervals_cover_the_truth_as_often_as_they_say(
    population: tuple[NDArray[np.intp], NDArray[np.intp]], strata: str
) -> None:
    mapped, reference = population
    rng = np.random.default_rng(7)
    label = mapped
    if strata == "other strata":
        label = np.where(rng.random(mapped.size) < 0.7, mapped, 0)
    kind = mapped * 3 + reference
    members = np.bincount(label * 9 + kind, minlength=27).reshape(3, 9)
    samples = stratified(members, rng)

    def estimate(number: int) -> dict[str, Estimate]:
        stratum, kinds = points(samples.times[number])
        sample = Sample(stratum, samples.areas, samples.areas)
        found = estimate_accuracy(sample, OF_MAP[kinds], OF_TRUTH[kinds], 3)
        return figures_of_rare(found, mapped.size)

    check_coverage(samples, members.sum(axis=0), RARE, estimate)


def test_intervals_of_clusters_cover_the_truth_as_often_as_they_say(
    population: tuple[NDArray[np.intp], NDArray[np.intp]],
) -> None:
    mapped, reference = population
    rng = np.random.default_rng(7)
    # 400 of 100 pixels, which resemble each other
    order = np.argsort(reference + rng.normal(0, 2, reference.size))
    kind = (mapped * 3 + reference)[order]
    cluster = np.arange(kind.size) // 100
    members = np.bincount(cluster * 9 + kind, minlength=3600).reshape(400, 9)
    chosen = rng.permuted(np.tile(np.arange(400), (REPEATS, 1)), axis=1)[:, :60]
    inside = draw(members[chosen], 10, rng)[:, None]
    areas = np.array([float(kind.size)])
    once = np.ones((REPEATS, 1, 60), int)
    samples = Samples(areas, inside, once, np.ones(1), float(t.ppf(0.975, 59)))

    def estimate(number: int) -> dict[str, Estimate]:
        units, kinds = points(inside[number, 0])
        sample = Sample(np.zeros_like(units), areas, np.array([np.inf]), cluster=units)
        found = estimate_accuracy(sample, OF_MAP[kinds], OF_TRUTH[kinds], 3)
        return figures_of_rare(found, kind.size)

    check_coverage(samples, members.sum(axis=0), RARE, estimate)


def test_presence_of_several_classes_covers_too() -> None:
    rng = np.random.default_rng(3)
    reference = rng.random((2, 20_000)) < np.array([[0.5], [0.25]])
    mapped = reference ^ (rng.random(reference.shape) < 0.2)
    # the kinds: the second class in the map, and in the reference; strata are the first in the map
    in_map, in_truth = (kinds.ravel() for kinds in np.indices((2, 2)))
    figures: Figures = {
        "producers": (in_map & in_truth, in_truth),
        "users": (in_map & in_truth, in_map),
        "false_alarm": (in_map & (1 - in_truth), 1 - in_truth),
        "area_ha": (in_truth, np.ones(4, int)),
    }
    kind = mapped[0] * 4 + mapped[1] * 2 + reference[1]
    members = np.bincount(kind, minlength=8).reshape(2, 4)
    samples = stratified(members, rng)

    def estimate(number: int) -> dict[str, Estimate]:
        stratum, kinds = points(samples.times[number])
        accuracy = estimate_presence(
            Sample(stratum, samples.areas, samples.areas),
            np.stack([stratum == 1, in_map[kinds] == 1]),
            np.stack([stratum == 1, in_truth[kinds] == 1]),
            np.ones(kinds.size, bool),
        )
        assert accuracy.counts[1].sum() == 600
        assert accuracy.proportions[1].sum() == pytest.approx(1)
        found = {name: getattr(accuracy, name)[1] for name in figures}
        return found | {"area_ha": found["area_ha"].times(1 / kind.size)}

    check_coverage(samples, members.sum(axis=0), figures, estimate)
