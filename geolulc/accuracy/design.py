"""How many points, and how they are shared out among strata. Numbers only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass as validated_dataclass

from geolulc.accuracy.columns import Kind
from geolulc.errors import ParameterError, require_one_of
from geolulc.validated import STRICT, Validated

Allocation = Literal["proportional", "equal", "neyman"]
ALLOCATIONS: Final[tuple[Allocation, ...]] = get_args(Allocation)
#: A sample of a stratum needs so many points for a variance.
_FEWEST: Final = 2

Share = Annotated[float, Field(gt=0, lt=1)]


@validated_dataclass(frozen=True, config=STRICT)
class SampleOptions(Validated):
    """How a sample is drawn.

    Attributes:
        design: "stratified", "simple", "systematic" or "cluster".
        size: points; None: as many as ``standard_error`` asks for.
        standard_error: of overall accuracy, that is aimed at.
        expected: user's accuracy that is expected of classes or strata that ``expected_by_name``
            does not name.
        expected_by_name: the same by name.
        allocation: to strata "proportional" to their area, "equal", or "neyman": to area times
            expected standard deviation.
        least: points in each stratum.
        distance: metres between any two points, of simple and stratified samples.
        seed: the same seed draws the same points of the same map.
        cluster_side: metres along a cluster.
        cluster_points: points in a cluster.
    """

    design: Kind = "stratified"
    size: Annotated[int, Field(ge=2)] | None = None
    standard_error: Share = 0.02
    expected: Share = 0.75
    expected_by_name: Mapping[str, Share] = field(default_factory=dict)
    allocation: Allocation = "proportional"
    least: Annotated[int, Field(ge=_FEWEST)] = 20
    distance: Annotated[float, Field(ge=0)] = 0.0
    seed: Annotated[int, Field(ge=0)] = 0
    cluster_side: Annotated[float, Field(gt=0)] = 5000.0
    cluster_points: Annotated[int, Field(ge=1)] = 10

    def __post_init__(self) -> None:
        if self.distance and self.design not in ("simple", "stratified"):
            raise ParameterError(
                "distance",
                found=f"{self.distance:g} m in a {self.design} sample",
                expected="a distance in simple and stratified samples only",
                remedy="Leave it out.",
            )
        if self.design == "cluster" and self.size is None:
            raise ParameterError(
                "size",
                found="none for a cluster sample",
                expected="a number of points: how much points of a cluster differ is not known",
                remedy="Give it with --size.",
            )

    def deviations(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        """float64 (stratum,): expected standard deviation of agreement, sqrt(U (1 − U))."""
        for name in self.expected_by_name:
            require_one_of("stratum", name, names, remedy="Names must match exactly.")
        users = np.array([self.expected_by_name.get(name, self.expected) for name in names])
        return np.asarray(np.sqrt(users * (1 - users)), np.float64)


def needed_points(
    shares: NDArray[np.float64], deviations: NDArray[np.float64], standard_error: float, units: int
) -> int:
    """Points for a standard error of overall accuracy (Olofsson et al. 2014, eq. 13).

    Args:
        shares: float64 (stratum,): of the map's area.
        deviations: float64 (stratum,): of agreement.
        standard_error: that is aimed at.
        units: pixels of the map.
    """
    spread = float(shares @ deviations)
    finite = float(shares @ deviations**2) / units
    return max(_FEWEST, min(units, int(np.ceil(spread**2 / (standard_error**2 + finite)))))


def expected_error(
    shares: NDArray[np.float64], deviations: NDArray[np.float64], points: NDArray[np.intp]
) -> float:
    """Standard error of overall accuracy that so many points give (Cochran 1977, eq. 5.7)."""
    return float(np.sqrt((shares**2 * deviations**2 / np.maximum(points, 1)).sum()))


def allocate(
    size: int,
    shares: NDArray[np.float64],
    deviations: NDArray[np.float64],
    units: NDArray[np.int64],
    allocation: Allocation,
    least: int,
) -> NDArray[np.intp]:
    """Points of each stratum: at least ``least``, or all units of a smaller one.

    They add up to ``size``, or to more where the least numbers ask for it; to fewer where there
    are fewer units.

    Args:
        size: points to share out.
        shares: float64 (stratum,): of the map's area.
        deviations: float64 (stratum,): of agreement, for "neyman".
        units: int64 (stratum,): pixels.
        allocation: the rule.
        least: points in each stratum.
    """
    weights = {
        "proportional": shares,
        "equal": (units > 0).astype(np.float64),
        "neyman": shares * deviations,
    }[allocation]
    low, high = np.minimum(least, units).astype(np.float64), units.astype(np.float64)
    # the factor of the weights at which the strata, within their limits, add up to the size
    total = min(max(float(size), low.sum()), high.sum())
    below, above = 0.0, float(high.max() / weights[units > 0].min()) + 1
    for _ in range(200):
        middle = (below + above) / 2
        if np.clip(middle * weights, low, high).sum() < total:
            below = middle
        else:
            above = middle
    exact = np.clip(above * weights, low, high)
    points = np.floor(exact + 1e-6).astype(np.intp)
    missing = round(total) - int(points.sum())
    for h in np.argsort(points - exact, kind="stable")[: max(missing, 0)]:
        points[h] += points[h] < units[h]
    return points


@dataclass(frozen=True)
class Stratum:
    """A stratum of a sample: its name, pixels, hectares and points."""

    name: str
    pixels: int
    hectares: float
    points: int
