"""Decodes images JP2 tile by JP2 tile: one costs the same however little of it is used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geolulc.products.images import decoding, image_settings, open_image


@dataclass(frozen=True, slots=True)
class Tiling:
    """An image's rows and columns and those of its JP2 tiles, in pixels."""

    shape: tuple[int, int]
    tile_shape: tuple[int, int]

    @property
    def counts(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.shape[0] // self.tile_shape[0]), -(-self.shape[1] // self.tile_shape[1])

    def rows(self, row: int) -> slice:
        """Pixel rows of the tiles in ``row``."""
        start = row * self.tile_shape[0]
        return slice(start, min(start + self.tile_shape[0], self.shape[0]))

    def columns(self, column: int) -> slice:
        """Pixel columns of the tiles in ``column``."""
        start = column * self.tile_shape[1]
        return slice(start, min(start + self.tile_shape[1], self.shape[1]))


def read_tiling(path: str) -> Tiling:
    """The tiling of the image at a GDAL path; ``ProductError`` where it cannot be opened."""
    with image_settings(), decoding(path), open_image(path) as image:
        return Tiling(image.shape, image.block_shapes[0])


def decode_tile(path: str, tiling: Tiling, row: int, column: int, out: NDArray[np.generic]) -> None:
    """Decode one JP2 tile into ``out``, an array of the tile's rows and columns.

    Opens the image anew: that costs a millisecond where a tile takes a hundred, and GDAL's
    datasets must not be shared between threads.

    Raises:
        ProductError: the tile cannot be decoded.
    """
    rows, columns = tiling.rows(row), tiling.columns(column)
    window = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
    part = f"JP2 tile ({row}, {column}): "
    with image_settings(), decoding(path, part), open_image(path) as image:
        image.read(1, window=window, out=out)
