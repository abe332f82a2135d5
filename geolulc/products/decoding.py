"""Decodes images JP2 tile by JP2 tile: one costs the same however little of it is used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geolulc.products.images import decoding, image_settings, open_image
from geolulc.products.scene import Tiling


@dataclass(frozen=True)
class Jp2Image:
    """A JPEG 2000 image: an ``Image``.

    Attributes:
        path: for GDAL.
        resolution: metres a side of a pixel.
        tiling: its JP2 tiles.
        dtype: of its pixels.
    """

    path: str
    resolution: int
    tiling: Tiling
    dtype: np.dtype[Any]

    @classmethod
    def at(cls, path: str, resolution: int) -> Jp2Image:
        """The image at a GDAL path; ``ProductError`` where it cannot be opened."""
        with image_settings(), decoding(path), open_image(path) as image:
            tiling = Tiling(image.shape, image.block_shapes[0])
            return cls(path, resolution, tiling, np.dtype(image.dtypes[0]))

    def read(self, row: int, column: int, out: NDArray[Any]) -> None:
        """Decode one JP2 tile into ``out``, an array of the tile's rows and columns.

        Opens the image anew: that costs a millisecond where a tile takes a hundred, and GDAL's
        datasets must not be shared between threads.

        Raises:
            ProductError: the tile cannot be decoded.
        """
        window = window_of(self.tiling.rows(row), self.tiling.columns(column))
        part = f"JP2 tile ({row}, {column}): "
        with self._opened(part) as image:
            image.read(1, window=window, out=out)

    def shrunk(
        self, rows: slice, columns: slice, shape: tuple[int, int]
    ) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Some rows and columns as (layers, *shape), from the coarser levels of the image.

        Raises:
            ProductError: they cannot be decoded.
        """
        window = window_of(rows, columns)
        with self._opened() as image:
            layers: NDArray[Any] = image.read(window=window, out_shape=(image.count, *shape))
            return layers

    @contextlib.contextmanager
    def _opened(self, part: str = "") -> Iterator[Any]:
        """The rasterio dataset; ``part`` says what is read of it, for messages."""
        with image_settings(), decoding(self.path, part), open_image(self.path) as image:
            yield image

    def __str__(self) -> str:
        return self.path


def window_of(rows: slice, columns: slice) -> Window:
    """rasterio's window of rows and columns."""
    return Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
