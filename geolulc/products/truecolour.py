"""A true-colour picture of a product, small enough to lie under a legend."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from geolulc.grid import Extent
from geolulc.products.images import decoding, image_settings, open_image, require_image
from geolulc.products.product import Product, unpacked
from geolulc.products.radiometry import reflectance_dn

#: Sen2Cor's TCI shows reflectance 0.3558 as 255.
_WHITE = 3558


def true_colour(
    product: Product, max_pixels: int = 1000, within: Extent | None = None
) -> tuple[NDArray[np.uint8], Affine]:
    """The scene in natural colours, at most ``max_pixels`` wide and high.

    ``within``: only this part of the tile, whose sides lie on pixels of 10 m; None: all of it.

    Read from coarse resolution levels of the JPEG 2000 files, so it takes a second or two; their
    checksums are not compared.

    Returns:
        uint8 (rows, columns, 3), black where there is no data, and the transform of its pixels
        to projected metres.

    Raises:
        ProductError: an image cannot be decoded, or the true-colour image is of another place.
    """
    tile, part = product.grid, within or product.grid
    rows, columns = round(part.height / 10), round(part.width / 10)
    window = Window(
        round((part.left - tile.left) / 10), round((tile.top - part.top) / 10), columns, rows
    )
    scale = max(1.0, max(rows, columns) / max_pixels)
    shape = max(1, round(rows / scale)), max(1, round(columns / scale))
    with unpacked(replace(product, verify=False)) as ready, image_settings():
        if (tci := ready.images.get("TCI")) is not None:
            require_image("TCI", tci, tile)
            picture = np.stack([_read(tci.gdal_path, i, window, shape) for i in (1, 2, 3)], axis=-1)
        else:
            picture = np.stack(
                [_stretch(ready, b, window, shape) for b in ("B04", "B03", "B02")], axis=-1
            )
    pixel = part.width / shape[1], part.height / shape[0]
    transform = Affine(pixel[0], 0.0, part.left, 0.0, -pixel[1], part.top)
    return picture.astype(np.uint8), transform


def _stretch(
    product: Product, name: str, window: Window, shape: tuple[int, int]
) -> NDArray[np.uint8]:
    dn = _read(product.band_files[name], 1, window, shape).astype(np.int32)
    reflectance = reflectance_dn(dn, product.offsets[name])
    scaled = np.clip(reflectance * (254 / _WHITE) + 1, 1, 255)
    return np.where(dn == 0, 0, scaled).astype(np.uint8)


def _read(path: str, index: int, window: Window, shape: tuple[int, int]) -> NDArray[np.generic]:
    with decoding(path), open_image(path) as image:
        data: NDArray[np.generic] = image.read(index, window=window, out_shape=shape)
        return data
