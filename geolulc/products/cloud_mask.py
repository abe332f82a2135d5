"""Clouds of Level-1C, from the product's own mask, as a scene classification in Sen2Cor's codes.

``QI_DATA/MSK_CLASSI_B00.jp2``, since processing baseline 04.00, has pixels of 60 m and three layers
of 0 and 1: opaque clouds, cirrus, and snow and ice (Sentinel-2 Products Specification Document,
issue 14.9; masks of Level-1C). EOPF Zarr has them as bits 1, 2 and 4 of one layer, and 128 for no
data. The mask knows no shadows of clouds. Products of before have polygons of clouds in GML, which
are not read: theirs are not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.products.decoding import Jp2Image, window_of
from geolulc.products.zarr_images import ZarrImage

#: Said of a scene with such a mask: ``facts["clouds"]``.
CLOUDS: Final = "opaque clouds and cirrus of MSK_CLASSI, no shadows"
#: Codes of Sen2Cor: no data, unclassified, clouds of high probability, thin cirrus, snow or ice.
_NO_DATA, _OTHER, _OPAQUE, _CIRRUS, _SNOW = 0, 7, 9, 10, 11
_BITS: Final = np.array([1, 2, 4], np.uint8)


def codes_of(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes of pixels whose bits say what they are; of several, clouds come first."""
    return _CODES[bits]


def _codes() -> NDArray[np.uint8]:
    bits = np.arange(256)
    wanted = [bits & 128 > 0, bits & 1 > 0, bits & 2 > 0, bits & 4 > 0]
    codes = np.select(wanted, [_NO_DATA, _OPAQUE, _CIRRUS, _SNOW], _OTHER)
    return codes.astype(np.uint8)


_CODES: Final = _codes()


@dataclass(frozen=True)
class Jp2CloudMask(Jp2Image):
    """The mask of a SAFE as an ``Image`` of the scene classification."""

    def read(self, row: int, column: int, out: NDArray[Any]) -> None:
        """Decode one JP2 tile."""
        window = window_of(self.tiling.rows(row), self.tiling.columns(column))
        with self._opened(f"JP2 tile ({row}, {column}): ") as image:
            out[:] = _codes_of_layers(image.read(window=window))

    def shrunk(
        self, rows: slice, columns: slice, shape: tuple[int, int]
    ) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Some rows and columns as (1, *shape)."""
        return _codes_of_layers(super().shrunk(rows, columns, shape))[None]


@dataclass(frozen=True)
class ZarrCloudMask(ZarrImage):
    """The mask of EOPF Zarr as an ``Image`` of the scene classification."""

    def read(self, row: int, column: int, out: NDArray[Any]) -> None:
        """One chunk."""
        super().read(row, column, out)
        out[:] = codes_of(out)

    def shrunk(
        self, rows: slice, columns: slice, shape: tuple[int, int]
    ) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Some rows and columns as (1, *shape)."""
        return codes_of(super().shrunk(rows, columns, shape).astype(np.uint8))


def _codes_of_layers(layers: NDArray[Any]) -> NDArray[np.uint8]:
    """Codes (rows, columns) of the three layers."""
    bits = ((layers != 0) * _BITS[:, None, None]).sum(axis=0, dtype=np.uint8)
    return codes_of(bits)
