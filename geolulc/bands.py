"""The twelve bands of Sentinel-2 Level-2A, by name.

L2A has no B10 (cirrus). Central wavelengths are those of Sentinel-2A; ``band_id`` and
``physical`` are the names the product metadata uses (``BOA_ADD_OFFSET[@band_id]``,
``Spectral_Information[@physicalBand]``). Source: Sentinel-2 Products Specification Document.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from geolulc.errors import require_one_of


@dataclass(frozen=True, slots=True)
class Band:
    """One spectral band: ``resolution`` in metres, ``wavelength`` (central) in nanometres."""

    name: str
    resolution: int
    wavelength: float
    band_id: int
    physical: str


#: All bands in spectral order, B8A after B08.
BANDS: Final = (
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
)

#: Native resolutions in metres, finest first.
RESOLUTIONS: Final = (10, 20, 60)

BAND_NAMES: Final = tuple(b.name for b in BANDS)

#: Band names by native resolution: the order of channels in stores, batches and networks.
GROUPS: Final[Mapping[int, tuple[str, ...]]] = MappingProxyType(
    {r: tuple(b.name for b in BANDS if b.resolution == r) for r in RESOLUTIONS}
)

_BY_NAME: Final = {b.name: b for b in BANDS} | {b.physical: b for b in BANDS}


def select_bands(names: Collection[str]) -> dict[int, tuple[str, ...]]:
    """``GROUPS`` with the bands of these names alone, and only resolutions that have any."""
    chosen = {r: tuple(n for n in group if n in names) for r, group in GROUPS.items()}
    return {r: group for r, group in chosen.items() if group}


def band(name: str) -> Band:
    """The band called ``name`` ("B02", "B2", "b8a"); ``ParameterError`` for any other name."""
    require_one_of("band", name.upper(), _BY_NAME)
    return _BY_NAME[name.upper()]
