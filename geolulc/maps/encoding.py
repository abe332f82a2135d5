"""Probabilities in few bytes: whole multiples of a decimal fraction, and one value for no data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Encoding:
    """How probabilities are stored: ``value = round(probability / scale)``, or as they are."""

    dtype: str
    scale: float
    nodata: float

    def encode(self, probabilities: NDArray[np.float32]) -> NDArray[Any]:
        """Probabilities (class, …), NaN = no data, as values of ``dtype``.

        They are within half a ``scale`` of the true ones. No data in one class is no data in all.
        """
        if self.dtype == "float32":
            return probabilities.astype(np.float32, copy=False)
        known = np.isfinite(probabilities).all(axis=0)
        steps = np.round(np.where(known, probabilities, 0).astype(np.float64) / self.scale)
        return np.where(known, steps, self.nodata).astype(self.dtype)

    def decode(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Values (class, …) as probabilities float32, NaN = no data in any class."""
        if self.dtype == "float32":
            shares = values.astype(np.float32)
        else:
            table = (np.arange(int(self.nodata) + 1) * self.scale).astype(np.float32)
            table[-1] = np.nan
            shares = table[values]
        shares[:, ~np.isfinite(shares).all(axis=0)] = np.nan
        return shares


#: By the name of ``--dtype``. Nodata lies outside 0..1.
ENCODINGS: Final[Mapping[str, Encoding]] = MappingProxyType(
    {
        "float32": Encoding("float32", 1.0, float("nan")),
        "uint8": Encoding("uint8", 0.004, 255),  # 0..250
        "uint16": Encoding("uint16", 0.0001, 65535),  # 0..10000
    }
)
#: ``uint8``'s values of probability 1, and of no data: maps of pixels are computed in these steps.
FULL: Final = 250
NODATA: Final = 255
