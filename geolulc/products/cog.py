"""Images of one band each as GeoTIFF (COG) or JPEG 2000, on this file system or on a server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
from affine import Affine

from geolulc.errors import ProductError
from geolulc.products.archive import damaged
from geolulc.products.decoding import Jp2Image
from geolulc.products.images import decoding, image_settings, open_image
from geolulc.products.scene import Tiling
from geolulc.remote.files import RemoteFile

#: Pixels of a block that is decoded at once; images without tiles are read by this many rows.
_LARGEST_BLOCK: Final = 1 << 26
_ROWS: Final = 256


@dataclass(frozen=True)
class CogImage(Jp2Image):
    """An ``Image`` in a GeoTIFF or JPEG 2000 file.

    Attributes:
        remote: the file where it lies on a server; its ``path`` is the URL.
        crs: "EPSG:32632", None where the file has none.
        transform: (column, row) → (x, y).
        count: of its bands.
        nodata: as the file says.
    """

    remote: RemoteFile | None
    crs: str | None
    transform: Affine
    count: int
    nodata: float | None

    @classmethod
    def of(cls, path: str, resolution: int, remote: RemoteFile | None) -> CogImage:
        """The image at a path or URL.

        Raises:
            ProductError: it cannot be opened, or its blocks are too large.
            RemoteError: the server does not give it.
        """
        with _opened(path, remote, georeference=True) as image:
            high, wide = image.block_shapes[0]
            rows = high if high >= _ROWS else -(-_ROWS // high) * high
            if max(high, rows) * wide > _LARGEST_BLOCK or max(image.shape) > 1 << 20:
                raise damaged(path, f"blocks of {high:,} × {wide:,} of {image.shape} pixels")
            code = None if image.crs is None else image.crs.to_epsg()
            crs = None if image.crs is None else f"EPSG:{code}"
            tiling = Tiling(image.shape, (min(rows, image.shape[0]), min(wide, image.shape[1])))
            return cls(
                path, resolution, tiling, np.dtype(image.dtypes[0]), remote, crs,
                image.transform, image.count, image.nodata,
            )  # fmt: skip

    @contextlib.contextmanager
    def _opened(self, part: str = "") -> Iterator[Any]:
        with _opened(self.path, self.remote, part=part) as image:
            yield image


@contextlib.contextmanager
def _opened(
    path: str, remote: RemoteFile | None, *, part: str = "", georeference: bool = False
) -> Iterator[Any]:
    """The rasterio dataset; what a server did wrong is told in its own words."""
    name = urlsplit(path).path if remote else path
    suffix = PurePosixPath(name).suffix.lower()
    try:
        with (
            image_settings(),
            decoding(path, part),
            open_image(
                f"image{suffix}" if remote else path,
                georeference=georeference,
                tiff=suffix != ".jp2",
                opener=remote.open if remote else None,
            ) as image,
        ):
            yield image
    except ProductError:
        if remote is not None and remote.error is not None:
            raise remote.error from None
        raise
