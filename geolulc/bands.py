"""Sensors as values: their bands by name, with wavelength and native resolution.

``SENTINEL2`` has the twelve bands of Sentinel-2 Level-2A, which has no B10 (cirrus). Central
wavelengths are those of Sentinel-2A; ``band_id`` and ``physical`` are the names the product
metadata uses (``BOA_ADD_OFFSET[@band_id]``, ``Spectral_Information[@physicalBand]``). Source:
Sentinel-2 Products Specification Document.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

from geolulc.errors import ParameterError, require_one_of

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}")
_COARSEST: Final = 1200


@dataclass(frozen=True, slots=True)
class Band:
    """One spectral band: ``resolution`` in metres, ``wavelength`` (central) in nanometres."""

    name: str
    resolution: int
    wavelength: float
    band_id: int = -1
    physical: str = ""


@dataclass(frozen=True)
class Sensor:
    """What images are of: the bands of a sensor, as its products have them.

    Attributes:
        id: short name.
        bands: in spectral order.
        scale: reflectance × this = DN + offset.

    Raises:
        ParameterError: a name twice or with other signs than letters, digits, _ and -; a
            resolution that does not divide the next coarser one, whose pixels share no corners.
    """

    id: str
    bands: tuple[Band, ...]
    scale: int = 10_000

    def __post_init__(self) -> None:
        names = [band.name for band in self.bands]
        sound = all(_NAME.fullmatch(name) for name in (self.id, *names))
        if not names or len(set(names)) < len(names) or not sound or self.scale < 1:
            raise self._unsound(f"the bands {', '.join(names)}", "short names, each once")
        sizes = self.resolutions
        divide = all(coarse % fine == 0 for fine, coarse in pairwise(sizes))
        if not divide or not 1 <= sizes[0] <= sizes[-1] <= _COARSEST:
            found = f"resolutions of {', '.join(map(str, sizes))} m"
            raise self._unsound(found, "whole metres, of which each divides the next")

    def _unsound(self, found: str, expected: str) -> ParameterError:
        return ParameterError(
            f"sensor {self.id}", found=found, expected=expected, remedy="Correct the sensor."
        )

    @cached_property
    def resolutions(self) -> tuple[int, ...]:
        """Native resolutions in metres, finest first."""
        return tuple(sorted({band.resolution for band in self.bands}))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the bands in spectral order."""
        return tuple(band.name for band in self.bands)

    @cached_property
    def groups(self) -> Mapping[int, tuple[str, ...]]:
        """Band names by native resolution: the order of channels in stores and batches."""
        return self.select(self.names)

    def band(self, name: str) -> Band:
        """The band called ``name`` ("B02", "B2", "b8a"); ``ParameterError`` for any other name."""
        known = {key.upper(): b for b in self.bands for key in (b.physical, b.name) if key}
        require_one_of("band", name.upper(), known)
        return known[name.upper()]

    def select(self, names: Collection[str]) -> dict[int, tuple[str, ...]]:
        """``groups`` with the bands of these names alone, and only resolutions that have any.

        Raises:
            ParameterError: a name of no band.
        """
        for name in names:
            require_one_of("band", name, self.names)
        chosen = {
            r: tuple(b.name for b in self.bands if b.resolution == r and b.name in names)
            for r in self.resolutions
        }
        return {r: group for r, group in chosen.items() if group}

    def as_mapping(self) -> dict[str, Any]:
        """JSON-able: what ``sensor_of`` reads back."""
        bands = [
            {"name": b.name, "resolution": b.resolution, "wavelength": b.wavelength}
            for b in self.bands
        ]
        return {"id": self.id, "scale": self.scale, "bands": bands}


#: The MultiSpectral Instrument of Sentinel-2, B8A after B08.
SENTINEL2: Final = Sensor(
    "sentinel2",
    (
        Band("B01", 60, 442.7, 0, "B1"),
        Band("B02", 10, 492.4, 1, "B2"),
        Band("B03", 10, 559.8, 2, "B3"),
        Band("B04", 10, 664.6, 3, "B4"),
        Band("B05", 20, 704.1, 4, "B5"),
        Band("B06", 20, 740.5, 5, "B6"),
        Band("B07", 20, 782.8, 6, "B7"),
        Band("B08", 10, 832.8, 7, "B8"),
        Band("B8A", 20, 864.7, 8, "B8A"),
        Band("B09", 60, 945.1, 9, "B9"),
        Band("B11", 20, 1613.7, 11, "B11"),
        Band("B12", 20, 2202.4, 12, "B12"),
    ),
)

# what those need that read products or archives of Sentinel-2
BANDS: Final = SENTINEL2.bands
BAND_NAMES: Final = SENTINEL2.names
RESOLUTIONS: Final = SENTINEL2.resolutions
GROUPS: Final = SENTINEL2.groups


def band(name: str) -> Band:
    """``SENTINEL2.band``."""
    return SENTINEL2.band(name)


def sensor_of(plain: Mapping[str, Any] | None) -> Sensor:
    """The sensor in the JSON of a store or checkpoint; None is Sentinel-2.

    Raises:
        ParameterError: it is not sound.
    """
    if plain is None:
        return SENTINEL2
    try:
        bands = tuple(
            Band(str(b["name"]), int(b["resolution"]), float(b["wavelength"]))
            for b in plain["bands"]
        )
        return Sensor(str(plain["id"]), bands, int(plain["scale"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ParameterError(
            "sensor",
            found=f"no sound description ({type(error).__name__}: {error})",
            expected="id, scale and bands with name, resolution and wavelength",
            remedy="The file is damaged.",
        ) from None
