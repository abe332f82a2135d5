from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

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


def coverage(truth: float, found: list[Estimate]) -> float:
    estimates = np.array([e.estimate for e in found], float)
    widths = np.array([e.ci95 for e in found], float)
    return float((np.abs(estimates - truth) <= widths).mean())


@pytest.fixture(scope="module")
def population() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Map and reference of 40,000 pixels in three classes, a tenth of them in the rare one."""
    rng = np.random.default_rng(5)
    reference = rng.choice(3, 40_000, p=[0.5, 0.4, 0.1])
    wrong = rng.random(reference.size) < np.array([0.2, 0.25, 0.3])[reference]
    mapped = np.where(wrong, (reference + rng.integers(1, 3, reference.size)) % 3, reference)
    return mapped, reference


def truths(mapped: NDArray[np.intp], reference: NDArray[np.intp]) -> dict[str, float]:
    both = (mapped == 2) & (reference == 2)
    return {
        "overall": float((mapped == reference).mean()),
        "users": both.sum() / (mapped == 2).sum(),
        "producers": both.sum() / (reference == 2).sum(),
        "f1": 2 * both.sum() / ((mapped == 2).sum() + (reference == 2).sum()),
        "area_ha": float((reference == 2).sum()),
    }


@pytest.mark.parametrize("strata", ["map classes", "other strata", "clusters"])
def test_intervals_cover_the_truth_as_often_as_they_say(
    population: tuple[NDArray[np.intp], NDArray[np.intp]], strata: str
) -> None:
    mapped, reference = population
    rng = np.random.default_rng(7)
    if strata == "clusters":  # 400 of 100 pixels, which resemble each other
        order = np.argsort(reference + rng.normal(0, 2, reference.size))
        mapped, reference = mapped[order], reference[order]
    label = {
        "map classes": mapped,
        "other strata": np.where(rng.random(mapped.size) < 0.7, mapped, 0),
        "clusters": np.zeros_like(mapped),
    }[strata]
    units = np.bincount(label).astype(float)
    members = [np.flatnonzero(label == h) for h in range(len(units))]
    repeats = 1_000
    found: dict[str, list[Estimate]] = {name: [] for name in truths(mapped, reference)}
    for _ in range(repeats):
        if strata == "clusters":
            cluster = rng.choice(400, 60, replace=False)
            inside = np.stack([rng.choice(100, 10, replace=False) for _ in cluster])
            drawn = (cluster[:, None] * 100 + inside).ravel()
            sample = Sample(label[drawn], units, np.array([np.inf]), cluster=np.repeat(cluster, 10))
        else:
            drawn = np.concatenate([rng.choice(m, 300, replace=False) for m in members])
            sample = Sample(label[drawn], units, units)
        accuracy = estimate_accuracy(sample, mapped[drawn], reference[drawn], 3)
        for name, estimates in found.items():
            value = getattr(accuracy, name)
            estimates.append(value if name == "overall" else value[2])
    for name, truth in truths(mapped, reference).items():
        estimates = found[name]
        mean = float(np.mean([e.estimate for e in estimates]))
        error = float(np.mean([e.standard_error for e in estimates]))
        assert mean == pytest.approx(truth, abs=4 * error / math.sqrt(repeats) + 0.004 * truth)
        assert 0.93 <= coverage(truth, estimates) <= 0.97, name


def test_presence_of_several_classes_covers_too() -> None:
    rng = np.random.default_rng(3)
    reference = rng.random((2, 20_000)) < np.array([[0.5], [0.25]])
    mapped = reference ^ (rng.random(reference.shape) < 0.2)
    stratum = mapped[0].astype(np.intp)
    units = np.bincount(stratum).astype(float)
    members = [np.flatnonzero(stratum == h) for h in (0, 1)]
    truth = {
        "producers": (mapped & reference)[1].sum() / reference[1].sum(),
        "users": (mapped & reference)[1].sum() / mapped[1].sum(),
        "false_alarm": (mapped & ~reference)[1].sum() / (~reference)[1].sum(),
        "area_ha": float(reference[1].sum()),
    }
    found: dict[str, list[Estimate]] = {name: [] for name in truth}
    for _ in range(1_000):
        drawn = np.concatenate([rng.choice(m, 300, replace=False) for m in members])
        sample = Sample(stratum[drawn], units, units)
        accuracy = estimate_presence(
            sample, mapped[:, drawn], reference[:, drawn], np.ones(drawn.size, bool)
        )
        for name, estimates in found.items():
            estimates.append(getattr(accuracy, name)[1])
    for name, value in truth.items():
        assert 0.93 <= coverage(value, found[name]) <= 0.97, name
    assert accuracy.counts[1].sum() == 600
    assert accuracy.proportions[1].sum() == pytest.approx(1)
