"""Arrays of Zarr as images: their chunks are tiles, and those that are not there no data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolulc.products.scene import Tiling
from geolulc.products.zarr_arrays import ZarrArray


@dataclass(frozen=True)
class ZarrImage:
    """An array of the store as an ``Image``."""

    array: ZarrArray
    resolution: int
    dtype: np.dtype[Any]

    @property
    def tiling(self) -> Tiling:
        """Its chunks."""
        return self.array.tiling

    def read(self, row: int, column: int, out: NDArray[Any]) -> None:
        """One chunk; zeros, which are no data, for one that is not there."""
        found = self.array.read(row, column)
        out[:] = 0 if found is None else found[: out.shape[0], : out.shape[1]]

    def shrunk(
        self, rows: slice, columns: slice, shape: tuple[int, int]
    ) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Some rows and columns as (1, *shape), of the nearest pixels."""
        picked = [
            part.start + (np.arange(count) * 2 + 1) * (part.stop - part.start) // (2 * count)
            for part, count in zip((rows, columns), shape, strict=True)
        ]
        high, wide = self.tiling.tile_shape
        found = np.zeros((1, *shape), self.dtype)
        for row in np.unique(picked[0] // high):
            for column in np.unique(picked[1] // wide):
                if (chunk := self.array.read(int(row), int(column))) is not None:
                    at = picked[0] // high == row, picked[1] // wide == column
                    part = chunk[np.ix_(picked[0][at[0]] % high, picked[1][at[1]] % wide)]
                    found[0][np.ix_(*at)] = part
        return found

    def __str__(self) -> str:
        return str(self.array)
