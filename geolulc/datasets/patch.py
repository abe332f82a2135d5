"""The value everything in this room is about: one patch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.bands import SENTINEL2, Sensor
from geolulc.errors import ParameterError
from geolulc.grid import PATCH_SIZE

#: Names of the splits, everywhere ("validation" in the metadata of v2 is our "val").
SPLITS: Final = ("train", "val", "test")
_LARGEST: Final = 12_000


@dataclass(frozen=True)
class PatchLayout:
    """What the patches of a store are of, and how large.

    Attributes:
        sensor: whose bands they have, all of them.
        size: metres a side, a multiple of the coarsest pixel.

    Raises:
        ParameterError: a size that the pixels do not divide.
    """

    sensor: Sensor = SENTINEL2
    size: int = PATCH_SIZE

    def __post_init__(self) -> None:
        if self.size % self.coarsest or not 0 < self.size <= _LARGEST:
            raise ParameterError(
                "patch size",
                found=f"{self.size} m",
                expected=f"a multiple of {self.coarsest} m, up to {_LARGEST}",
                remedy=f"BigEarthNet's is {PATCH_SIZE}.",
            )

    def __str__(self) -> str:
        return f"{self.size} m of the sensor {self.sensor.id}"

    @cached_property
    def shapes(self) -> Mapping[int, tuple[int, int, int]]:
        """Shape (bands, rows, columns) of each resolution's group of a patch."""
        return {
            r: (len(names), self.size // r, self.size // r)
            for r, names in self.sensor.groups.items()
        }

    @property
    def pixel(self) -> int:
        """Metres a side of the finest pixels, those of reference maps."""
        return self.sensor.resolutions[0]

    @property
    def coarsest(self) -> int:
        """Metres a side of the coarsest pixels, whose corners all bands share."""
        return self.sensor.resolutions[-1]

    @property
    def reference_shape(self) -> tuple[int, int]:
        """Shape of a reference map."""
        side = self.size // self.pixel
        return side, side


#: That of BigEarthNet.
BIGEARTHNET: Final = PatchLayout()


@dataclass(frozen=True)
class Patch:
    """A square of ground as a sensor saw it, with its labels; BigEarthNet's are of 1,200 m.

    A patch of BigEarthNet has names of CORINE classes; one that was cut from a scene has those of
    its store's nomenclature in ``labels``, or none, and () and None in ``ben19`` and ``clc43``.

    Attributes:
        key: the patch's name in BigEarthNet, or "SCENE_ROW_COLUMN"; unique in a store.
        dataset: "bigearthnet-v1", "bigearthnet-v2", or another name.
        dn: resolution in metres → uint16 (bands, pixels, pixels), raw digital numbers without
            offset, channels in the order of ``Sensor.groups``; 0 is no data.
        labels: names as the archive gives them (43 classes in v1, 19 in v2), or of the store's
            nomenclature.
        ben19: names of the 19-class nomenclature, in its order.
        clc43: names of the 43-class nomenclature, None where the archive has only the 19 (v2).
        country, season: None where not known.
        date: acquisition, ISO 8601 ("2017-06-13T10:10:31"), UTC.
        tile: MGRS tile ("33UUP"), None where not known.
        crs: authority code ("EPSG:32633").
        left, top: projected coordinates of the upper-left corner, in metres.
        split: "train", "val", "test", or None for a patch in no list.
        snow, cloud: seasonal snow; cloud or cloud shadow; None where no list says.
        v1_name: the v1 patch on the same ground (v2 only).
        fold: which of the parts of a store of own labels it is in; in the index only.
        reference: uint16 on the finest pixels, of codes, see ``legend``, or None.
    """

    key: str
    dataset: str
    dn: Mapping[int, NDArray[np.uint16]]
    labels: tuple[str, ...]
    ben19: tuple[str, ...]
    clc43: tuple[str, ...] | None
    country: str | None
    season: str | None
    date: str
    tile: str | None
    crs: str
    left: float
    top: float
    split: str | None
    snow: bool | None = None
    cloud: bool | None = None
    v1_name: str | None = None
    reference: NDArray[np.uint16] | None = None
    fold: int | None = None
