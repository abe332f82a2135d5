"""Estimates from a probability sample, with their standard errors; arrays only.

Every figure is a ratio of two totals over the ground: overall accuracy is right area over area,
user's accuracy right area of a class over its mapped area, producer's over its true area, F1 twice
the right area over both. So one estimator serves them all: the ratio estimator for stratified
samples of Stehman 2014 (International Journal of Remote Sensing 35:4923-4939, eqs. 2, 3, 25-28).
Where the strata are the map's classes, it gives the values of Olofsson et al. 2014 (Remote
Sensing of Environment 148:42-57, eqs. 1-11). Points of one cluster are added up first, and the
variance is that between clusters (the "ultimate cluster" of Särndal, Swensson and Wretman 1992,
Model Assisted Survey Sampling, 4.3 and 5.7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

#: Position of a point without a class, of the map or the reference.
UNKNOWN: Final = -1
#: Standard errors to either side of a 95 % interval, as Olofsson et al. 2014 take them.
_NORMAL: Final = 1.96
#: Up to this share of a stratum, a sample is as one from an infinite stratum (Cochran 1977,
#: Sampling Techniques, 2.6); Olofsson et al. 2014 have no finite population correction.
_NEGLIGIBLE: Final = 0.05

#: One value for each point.
Values = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate; None where the sample says nothing, or too little for an error.

    Attributes:
        estimate: a share, or hectares.
        standard_error: of the estimate.
        ci95: half width of the 95 % confidence interval.
    """

    estimate: float | None
    standard_error: float | None = None
    ci95: float | None = None

    def times(self, factor: float) -> Estimate:
        """The estimate of ``factor`` times the quantity."""
        scaled = (
            None if value is None else value * factor
            for value in (self.estimate, self.standard_error, self.ci95)
        )
        return Estimate(*scaled)


@dataclass(frozen=True)
class Sample:
    """The design of a sample of points, as far as estimates need it.

    Attributes:
        stratum: intp (point,): position of each point's stratum.
        areas: float64 (stratum,): hectares of each stratum.
        units: float64 (stratum,): sampling units of each stratum, for the finite population
            correction; infinite for none.
        weights: float64 (point,): the area that a point stands for, up to a factor that is common
            to its stratum; None for equal ones.
        cluster: intp (point,): points of one cluster of a stratum share a number; None where each
            point was drawn by itself.
    """

    stratum: NDArray[np.intp]
    areas: NDArray[np.float64]
    units: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None
    cluster: NDArray[np.intp] | None = None

    @cached_property
    def hectares(self) -> NDArray[np.float64]:
        """float64 (point,): the area that each point stands for; they add up to the strata's."""
        weights = np.ones(len(self.stratum)) if self.weights is None else self.weights
        return weights * self.areas[self.stratum] / self._totals(weights)[self.stratum]

    @property
    def covered(self) -> NDArray[np.bool_]:
        """bool (stratum,): strata that have a point."""
        return np.bincount(self.stratum, minlength=len(self.areas)) > 0

    @cached_property
    def drawn(self) -> NDArray[np.intp]:
        """intp (stratum,): points, or clusters, that were drawn of each stratum."""
        return np.bincount(self._groups[1], minlength=len(self.areas))

    @cached_property
    def quantile(self) -> float:
        """Half width of a 95 % interval in standard errors: of the normal distribution.

        Of clusters, which are few, that of Student's with as many degrees of freedom as there are
        clusters less strata.
        """
        if self.cluster is None:
            return _NORMAL
        return float(t.ppf(0.975, max(1, self.drawn.sum() - self.covered.sum())))

    def ratio(self, upper: Values, lower: Values) -> Estimate:
        """The total of ``upper`` over that of ``lower``, which have a value for each point.

        The standard error is None where a stratum of one unit has part in it.
        """
        upper, lower = upper.astype(np.float64), lower.astype(np.float64)
        total = float(self.hectares @ lower)
        if total <= 0:
            return Estimate(None)
        ratio = float(self.hectares @ upper) / total
        variance = self._variance(upper - ratio * lower)
        involved = (upper != 0) | (lower != 0)
        lone = (self.drawn == 1)[self.stratum] & (self.units[self.stratum] > 1)
        if bool((involved & lone).any()):
            return Estimate(ratio)
        error = math.sqrt(variance) / total
        return Estimate(ratio, error, error * self.quantile)

    def total(self, values: Values) -> float:
        """Hectares on which ``values``, a share for each point, hold."""
        return float(self.hectares @ values.astype(np.float64))

    def _variance(self, residuals: NDArray[np.float64]) -> float:
        """Variance of the total of the residuals."""
        means = self._totals(self.hectares * residuals) / np.where(self.covered, self.areas, 1)
        apart = self.hectares * (residuals - means[self.stratum])
        number, strata = self._groups
        squares = np.bincount(
            strata, weights=np.bincount(number, weights=apart) ** 2, minlength=len(self.areas)
        )
        drawn = self.drawn
        sampled = np.minimum(drawn / np.maximum(self.units, 1), 1.0)
        factor = (
            np.where(sampled > _NEGLIGIBLE, 1 - sampled, 1.0) * drawn / np.maximum(drawn - 1, 1)
        )
        return float(factor @ squares)

    @cached_property
    def _groups(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Number of each point's sampling unit, from 0, and the stratum of each unit."""
        if self.cluster is None:
            return np.arange(len(self.stratum)), self.stratum
        pairs = np.stack([self.stratum, self.cluster], axis=1)
        found, number = np.unique(pairs, axis=0, return_inverse=True)
        return number.reshape(-1), found[:, 0]

    def _totals(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        totals = np.bincount(self.stratum, weights=values, minlength=len(self.areas))
        return totals.astype(np.float64)


@dataclass(frozen=True)
class Accuracy:
    """The estimates of a map.

    Attributes:
        overall: share of the ground on which the map is right.
        users, producers, f1: an estimate for each class.
        area_ha: the true area of each class, in hectares.
        counts: intp (class of the map, class of the reference): points.
        proportions: float64, the same shape: shares of the ground.
        false_alarm: of classes that do not exclude each other: share of the ground without the
            class on which the map has it; () else.
    """

    overall: Estimate
    users: tuple[Estimate, ...]
    producers: tuple[Estimate, ...]
    f1: tuple[Estimate, ...]
    area_ha: tuple[Estimate, ...]
    counts: NDArray[np.intp]
    proportions: NDArray[np.float64]
    false_alarm: tuple[Estimate, ...] = ()

    @property
    def kappa(self) -> float:
        """Cohen's kappa of the proportions; NaN where chance alone agrees wholly."""
        chance = float(self.proportions.sum(axis=1) @ self.proportions.sum(axis=0))
        agreement = float(np.trace(self.proportions))
        return (agreement - chance) / (1 - chance) if chance < 1 else math.nan


def estimate_accuracy(
    sample: Sample,
    mapped: NDArray[np.intp],
    reference: NDArray[np.intp],
    classes: int,
    *,
    alternative: NDArray[np.intp] | None = None,
) -> Accuracy:
    """Accuracy and area of classes that exclude each other.

    Args:
        sample: the design.
        mapped: intp (point,): position of the map's class; ``UNKNOWN`` where the map has no data:
            such points belong to the strata, not to the ground that is assessed.
        reference: intp (point,): position of the true class.
        classes: number of classes.
        alternative: intp (point,): a second class that is right too, or ``UNKNOWN``. Where the
            map has it, it counts as the true one, but not for the areas.
    """
    known = mapped != UNKNOWN
    accepted = reference
    if alternative is not None:
        accepted = np.where((alternative == mapped) & known, alternative, reference)
    right = known & (accepted == mapped)
    in_map = [mapped == k for k in range(classes)]
    in_truth = [known & (accepted == k) for k in range(classes)]
    pair = (mapped * classes + accepted)[known]
    size = classes * classes
    shares = np.bincount(pair, weights=sample.hectares[known], minlength=size)
    ground = sample.total(known)
    return Accuracy(
        overall=sample.ratio(right, known),
        **_by_class(sample, in_map, in_truth),
        area_ha=tuple(
            sample.ratio(known & (reference == k), known).times(ground) for k in range(classes)
        ),
        counts=np.bincount(pair, minlength=size).reshape(classes, classes),
        proportions=shares.reshape(classes, classes) / (ground or 1.0),
    )


def estimate_presence(
    sample: Sample,
    mapped: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    known: NDArray[np.bool_],
) -> Accuracy:
    """Accuracy and area of classes of which several can be present in one cell.

    Overall accuracy is the share of the ground on which all classes are right. Producer's
    accuracy is the detection rate, one less user's accuracy the share of false detections.

    Args:
        sample: the design.
        mapped, reference: bool (class, point): presence in the map and in truth.
        known: bool (point,): the map has data.
    """
    in_map, in_truth = list(mapped & known), list(reference & known)
    ground = sample.total(known)
    tables = [
        [[m & r, m & ~r & known], [~m & r, ~m & ~r & known]]
        for m, r in zip(in_map, in_truth, strict=True)
    ]
    return Accuracy(
        overall=sample.ratio((mapped == reference).all(axis=0) & known, known),
        **_by_class(sample, in_map, in_truth),
        area_ha=tuple(sample.ratio(r, known).times(ground) for r in in_truth),
        counts=np.array(tables).sum(axis=-1),
        proportions=np.array(tables) @ sample.hectares / (ground or 1.0),
        false_alarm=tuple(
            sample.ratio(m & ~r, known & ~r) for m, r in zip(in_map, in_truth, strict=True)
        ),
    )


def _by_class(
    sample: Sample, in_map: Sequence[Values], in_truth: Sequence[Values]
) -> dict[str, tuple[Estimate, ...]]:
    pairs = [(m, r, m & r) for m, r in zip(in_map, in_truth, strict=True)]
    return {
        "users": tuple(sample.ratio(both, m) for m, _, both in pairs),
        "producers": tuple(sample.ratio(both, r) for _, r, both in pairs),
        "f1": tuple(sample.ratio(2 * both.astype(int), m.astype(int) + r) for m, r, both in pairs),
    }
