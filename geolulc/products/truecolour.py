"""A true-colour picture of a scene, small enough to lie under a legend."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geolulc.grid import Extent
from geolulc.products.radiometry import reflectance_dn
from geolulc.products.scene import TRUE_COLOUR, Scene

#: The reflectance that Sen2Cor's TCI shows as 255.
_WHITE: Final = 0.3558
_BANDS: Final = ("B04", "B03", "B02")


def true_colour(
    scene: Scene, max_pixels: int = 1000, within: Extent | None = None
) -> tuple[NDArray[np.uint8], Affine]:
    """The scene in natural colours, at most ``max_pixels`` wide and high.

    ``within``: only this part of the tile, whose sides lie on the finest pixels; None: all of it.

    Read from the overviews of its files, so it takes a second or two; their checksums are not
    compared.

    Returns:
        uint8 (rows, columns, 3), black where there is no data, and the transform of its pixels
        to projected metres.

    Raises:
        ProductError: an image cannot be decoded, or the true-colour image is of another place.
    """
    tile, part = scene.grid, within or scene.grid
    finest = scene.sensor.resolutions[0]
    rows, columns = round(part.height / finest), round(part.width / finest)
    scale = max(1.0, max(rows, columns) / max_pixels)
    shape = max(1, round(rows / scale)), max(1, round(columns / scale))
    top, left = round(tile.top - part.top), round(part.left - tile.left)
    layers: list[NDArray[Any]] = []
    names = (TRUE_COLOUR,) if TRUE_COLOUR in scene.images else _BANDS
    with scene.opened(names, verify=False) as images:
        for name, image in images.items():
            r = image.resolution
            lines = slice(top // r, (top + part.height) // r)
            across = slice(left // r, (left + part.width) // r)
            found = image.shrunk(lines, across, shape)
            layers.extend(found if name == TRUE_COLOUR else [_stretch(found[0], scene, name)])
    pixel = part.width / shape[1], part.height / shape[0]
    transform = Affine(pixel[0], 0.0, part.left, 0.0, -pixel[1], part.top)
    return np.stack(layers, axis=-1).astype(np.uint8), transform


def _stretch(dn: NDArray[np.generic], scene: Scene, name: str) -> NDArray[np.uint8]:
    reflectance = reflectance_dn(dn.astype(np.int32), scene.offsets[name])
    scaled = np.clip(reflectance * (254 / (_WHITE * scene.sensor.scale)) + 1, 1, 255)
    return np.where(dn == 0, 0, scaled).astype(np.uint8)
