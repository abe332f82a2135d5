"""A minimum mapping unit: small regions go to their neighbours. Arrays only."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import rasterio.features
from numpy.typing import NDArray

from geolulc.pixel_map import PixelGrid

_SQUARE_METRES_PER_HECTARE: Final = 10_000


def unit_pixels(grid: PixelGrid, hectares: float) -> int:
    """Pixels of a region of ``hectares`` (on the map), at least 1."""
    return max(1, math.ceil(hectares * _SQUARE_METRES_PER_HECTARE / grid.resolution**2))


def sieve(codes: NDArray[np.uint8], pixels: int, start: int = 1) -> None:
    """Let regions of fewer than ``pixels`` pixels go to a larger neighbour, in place.

    Pixels of a region touch along an edge. The smallest regions go first, then those below
    twice that size, and so on: speckle becomes the regions it crowds in, where GDAL's sieve
    (``rasterio.features.sieve``), which asks for a neighbour of the full size, leaves it. A
    region without a neighbour (an island in nodata) stays, and nodata stays where it is.

    Args:
        codes: uint8 (rows, columns); 0 = no data. The whole map: at a seam, regions would be cut.
        pixels: the minimum.
        start: regions below this many are known to be gone.
    """
    size = start
    pixels = min(pixels, codes.size - 1)  # GDAL refuses more
    while size < pixels:
        size = min(2 * size, pixels)
        # nodata (0) is its own mask; a copy of a tile would be 120 MB
        rasterio.features.sieve(codes, size, out=codes, mask=codes, connectivity=4)
