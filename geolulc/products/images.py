"""Opens the product's images, as JPEG 2000 and as nothing else.

A product comes from a stranger: a file called ``.jp2`` may be of another format, one that names
further files or addresses (VRT). Only JPEG 2000 drivers are let in, and no side files.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Final

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geolulc.errors import ProductError
from geolulc.grid import TileGrid
from geolulc.products.archive import Member, damaged
from geolulc.products.codestream import read_frame

#: GDAL's JPEG 2000 drivers, the best first; wheels have this one.
_DRIVERS: Final = ("JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID")
_SETTINGS: Final = {
    # a ``.aux.xml``, ``.ovr`` or world file beside the image would be believed before its own
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    # readers here decode one JP2 tile a call, in threads of their own
    "GDAL_NUM_THREADS": "1",
    # bytes: rasterio takes a number for bytes, where GDAL means megabytes
    "GDAL_CACHEMAX": 64_000_000,
}
_OPENING: Final = threading.Lock()


@contextlib.contextmanager
def image_settings() -> Iterator[None]:
    """GDAL settings for reading products; wrap a thread's work in it once."""
    with rasterio.Env(**_SETTINGS):
        yield


def open_image(path: str) -> Any:
    """The rasterio dataset of a GDAL path; raises ``RasterioError``."""
    # filters of warnings are one list for all threads
    with _OPENING, warnings.catch_warnings():
        # before baseline 02.07 images may lack a georeference: the XML has it
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, driver=_driver())


@functools.cache
def _driver() -> str:
    with rasterio.Env() as env:
        available = env.drivers()
    return next((driver for driver in _DRIVERS if driver in available), _DRIVERS[0])


def require_image(
    member: Member, grid: TileGrid, resolution: int, *, dtype: str, components: int = 1
) -> None:
    """``ProductError`` unless the image is whole and lies where the XML says.

    A packed member must be unpacked first.
    """
    frame = read_frame(member)
    expected = grid.shape(resolution)
    if frame.shape != expected or frame.components != components:
        raise ProductError(
            member,
            found=_size(frame.shape, frame.components),
            expected=f"{_size(expected, components)}, as MTD_TL.xml says",
            remedy="Download the product again; its files do not belong together.",
        )
    with image_settings():
        try:
            with open_image(member.gdal_path) as image:
                crs, transform, dtypes = image.crs, image.transform, image.dtypes
        except RasterioError as error:
            raise damaged(member, error) from error
    if set(dtypes) != {dtype}:
        raise ProductError(
            member,
            found=f"{dtypes[0]} pixels",
            expected=dtype,
            remedy="Use an unmodified Sentinel-2 L2A product.",
        )
    if crs is not None and crs != rasterio.CRS.from_string(grid.crs):
        raise _elsewhere(member, f"CRS {crs.to_string()}", grid.crs)
    if not transform.is_identity and not transform.almost_equals(grid.transform(resolution)):
        raise _elsewhere(
            member,
            f"corner ({transform.c:.0f}, {transform.f:.0f}) and pixels of {transform.a:g} m",
            f"corner ({grid.left:.0f}, {grid.top:.0f}) and pixels of {resolution} m",
        )


def _size(shape: tuple[int, int], components: int) -> str:
    return f"{shape[0]} × {shape[1]} pixels" + (f" × {components}" if components != 1 else "")


def _elsewhere(member: Member, found: str, expected: str) -> ProductError:
    return ProductError(
        member,
        found=found,
        expected=f"{expected}, as MTD_TL.xml says",
        remedy="Download the product again; its files do not belong together.",
    )
