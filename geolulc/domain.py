"""Where a model is at home: the ground, the months and the spectra that it learned from.

A store and a checkpoint hold a ``TrainingDomain``; a map is compared with it. Spectra alone do not
do: dry fields in Laos look like fields in Europe. So places and months are compared too.

Spectra are the mean reflectances of a patch by band. How unlike the training they are is their
Mahalanobis distance from the patches of the training: Mahalanobis 1936, "On the generalised
distance in statistics". The limit is the 99th percentile over the training's own patches, each
compared with the others alone: compared with themselves too, few patches would seem close together.
"""

from __future__ import annotations

import calendar
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from typing import Annotated, Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from geolulc.bands import BAND_NAMES
from geolulc.errors import ParameterError
from geolulc.validated import STRICT, explain

#: Spectra of fewer patches say nothing: a covariance of 12 bands has 78 numbers.
FEWEST_SPECTRA: Final = 30
_LIMIT: Final = 0.99
#: Mean radius of the earth in kilometres (IUGG R1).
_RADIUS: Final = 6371.0088
_MONTHS: Final = 12


@dataclass(frozen=True, config=STRICT)
class Spectra:
    """Mean reflectances × 10,000 of patches.

    Attributes:
        mean: by band, in the order of ``bands``.
        covariance: of the bands, in the same order; shrunk towards its diagonal.
        limit: the 99th percentile of the patches' Mahalanobis distances from the others.
        patches: their number.
        bands: names.
    """

    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    limit: Annotated[float, Field(gt=0)]
    patches: Annotated[int, Field(ge=FEWEST_SPECTRA)]
    bands: tuple[str, ...] = BAND_NAMES

    @model_validator(mode="after")
    def _require_distances(self) -> Self:
        count = len(self.bands)
        matrix = [len(row) for row in self.covariance]
        if len(self.mean) != count or matrix != [count] * count:
            raise _unsound("spectra", f"{len(self.mean)} bands", f"{count} bands")
        try:
            np.linalg.cholesky(np.array(self.covariance))
        except np.linalg.LinAlgError:
            raise _unsound("covariance", "no covariance", "a positive definite one") from None
        return self

    @classmethod
    def of(cls, means: NDArray[np.float64], bands: Sequence[str] = BAND_NAMES) -> Spectra | None:
        """The spectra of patches, float64 (patches, bands); None of too few or of equal ones."""
        means = means[np.isfinite(means).all(axis=1)]
        count = len(means)
        if count < FEWEST_SPECTRA:
            return None
        mean = means.mean(axis=0)
        apart = means - mean
        scatter = apart.T @ apart
        # without one patch, its own part leaves the sums, and the mean moves away from it
        own = apart * (count / (count - 1))
        others = scatter - (count / (count - 1)) * apart[:, :, None] * apart[:, None, :]
        try:
            found = _distances(own, _shrunk(others, count - 1))
        except np.linalg.LinAlgError:
            return None
        limit = float(np.quantile(found, _LIMIT))
        covariance = _shrunk(scatter, count)
        rows = tuple(tuple(map(float, row)) for row in covariance)
        if limit <= 0:
            return None
        return cls(tuple(map(float, mean)), rows, limit, count, tuple(bands))

    def unlikeness(self, means: NDArray[np.float64]) -> NDArray[np.float32]:
        """Mahalanobis distances of spectra (…, bands), 1 at the limit: float32 (…)."""
        apart = (means - np.array(self.mean)).reshape(-1, len(self.mean))
        found = _distances(apart, np.array(self.covariance)) / self.limit
        return found.astype(np.float32).reshape(means.shape[:-1])


@dataclass(frozen=True, config=STRICT)
class TrainingDomain:
    """What a model learned from.

    Attributes:
        patches: their number.
        countries: country → number of patches, as far as known.
        months: month, 1 to 12 → number of patches.
        squares: the squares of one degree with a patch: longitude and latitude of their south-west
            corners (WGS 84), number of patches.
        spectra: mean reflectances of the patches, or some of them; None of very few.
    """

    patches: Annotated[int, Field(ge=0)]
    countries: dict[str, int] = field(default_factory=dict)
    months: dict[int, int] = field(default_factory=dict)
    squares: tuple[tuple[int, int, int], ...] = ()
    spectra: Spectra | None = None

    def as_mapping(self) -> dict[str, Any]:
        """JSON-able: what ``read_domain`` reads back."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @property
    def summary(self) -> dict[str, Any]:
        """The domain in few words, JSON-able: for people."""
        west, south = ([s[i] for s in self.squares] for i in (0, 1))
        degrees = [min(west), min(south), max(west) + 1, max(south) + 1] if self.squares else []
        return {
            "patches": self.patches,
            "countries": dict(self.countries),
            "months": {calendar.month_abbr[m]: n for m, n in self.months.items()},
            "west_south_east_north": degrees,
            "squares_of_one_degree": len(self.squares),
            "patches_with_spectra": 0 if self.spectra is None else self.spectra.patches,
        }

    def distance(self, longitude: float, latitude: float) -> float | None:
        """Kilometres from a place (degrees) to the nearest square; None without any."""
        if not self.squares:
            return None
        west, south, _ = np.array(self.squares, np.float64).T
        # the shorter way round the earth
        turns = 360 * np.round((west + 0.5 - longitude) / 360)
        x = np.clip(longitude, west - turns, west - turns + 1)
        y = np.clip(latitude, south, south + 1)
        return float(great_circle(longitude, latitude, x, y).min())

    def season_apart(self, month: int, latitude: float) -> int:
        """Months from ``month`` to the nearest one of the training, 0 to 6.

        Of a place on the other side of the equator the seasons are turned by half a year.
        """
        if self.squares and latitude * sum(south + 0.5 for _, south, _ in self.squares) < 0:
            month += _MONTHS // 2
        apart = [abs(month - other) % _MONTHS for other in self.months]
        return min((min(d, _MONTHS - d) for d in apart), default=0)


def read_domain(plain: Any) -> TrainingDomain:
    """The domain in the JSON of a checkpoint or store.

    Raises:
        ParameterError: it is not sound.
    """
    try:
        return _READER.validate_json(json.dumps(plain))
    except ValidationError as error:
        raise _unsound(*explain(error, TrainingDomain)) from None


def domain_of(provenance: Mapping[str, Any]) -> TrainingDomain | None:
    """The domain in the provenance of a model; None of a model that has none.

    Raises:
        ParameterError: it is not sound.
    """
    return read_domain(provenance[KEY]) if KEY in provenance else None


def patch_means(
    dn: Mapping[int, NDArray[np.uint16]],
    bands: Mapping[int, Sequence[str]],
    wanted: Sequence[str],
    lefts: NDArray[np.int64],
    patch_size: int,
) -> NDArray[np.float64]:
    """Mean digital numbers by band of patches in a strip, over the pixels that have data.

    Args:
        dn: resolution → uint16 (bands, rows, columns), as tall as a patch.
        bands: resolution → names of its bands, in their order.
        wanted: the bands to look at.
        lefts: where the patches start, in metres from the left.
        patch_size: in metres.

    Returns:
        float64 (patches, wanted bands); NaN without any pixel.
    """
    means = {}
    for resolution, names in bands.items():
        starts, side = lefts // resolution, patch_size // resolution
        for name, pixels in zip(names, dn[resolution], strict=True):
            if name not in wanted:
                continue
            sums, counts = (
                np.concatenate(([0], np.cumsum(along)))
                for along in (
                    pixels.sum(axis=0, dtype=np.int64),
                    np.count_nonzero(pixels, axis=0),
                )
            )
            number = counts[starts + side] - counts[starts]
            with np.errstate(invalid="ignore"):
                means[name] = (sums[starts + side] - sums[starts]) / np.where(
                    number, number, np.nan
                )
    return np.stack([means[name] for name in wanted], axis=-1)


def _distances(apart: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mahalanobis lengths of ``apart`` (n, bands) by one covariance, or by one for each."""
    solved = np.linalg.solve(covariance, apart[..., None])[..., 0]
    found: NDArray[np.float64] = np.sqrt(np.maximum((apart * solved).sum(axis=-1), 0))
    return found


def _shrunk(scatter: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Covariance of ``count`` patches from their scatter, shrunk towards its diagonal.

    The share of the diagonal, bands / (bands + patches), is a choice: a fifth at 50 patches, next
    to nothing at 2,000.
    """
    bands = scatter.shape[-1]
    covariance = scatter / (count - 1)
    weight = bands / (bands + count)
    found: NDArray[np.float64] = covariance * (1 - weight + weight * np.eye(bands))
    return found


def great_circle(
    longitude: float | NDArray[np.float64],
    latitude: float | NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Kilometres on a sphere between places in degrees, by haversines; shapes that broadcast."""
    a, b = np.radians(latitude), np.radians(y)
    turned = np.radians(x - longitude)
    h = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(turned / 2) ** 2
    found: NDArray[np.float64] = 2 * _RADIUS * np.arcsin(np.sqrt(h.clip(0, 1)))
    return found


def _unsound(subject: str, found: object, expected: str) -> ParameterError:
    return ParameterError(
        f"training domain, {subject}",
        found=found,
        expected=expected,
        remedy="Record it again: geolulc models record MODEL STORE.",
    )


#: Key of the domain in the provenance of a model and in the manifest of a store.
KEY: Final = "domain"
_READER: Final = TypeAdapter(TrainingDomain)
