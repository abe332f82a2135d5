"""Opens the product's images, as JPEG 2000 or GeoTIFF, whichever is expected, and as nothing else.

A product comes from a stranger: a file called ``.jp2`` may be of another format, one that names
further files or addresses (VRT). Only these drivers are let in, and no side files.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Final

import rasterio
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geolulc.bands import RESOLUTIONS, band
from geolulc.errors import ProductError
from geolulc.grid import TileGrid
from geolulc.products.archive import Member, damaged
from geolulc.products.codestream import read_frame
from geolulc.safe_texts import one_line

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
#: The mask of clouds in a granule of Level-1C.
CLOUD_MASK: Final = "QI_DATA/MSK_CLASSI_B00.jp2"
#: In the names of Level-2A.
_RESOLUTION: Final = re.compile(r"_(\d+)m\.jp2$")
_OPENING: Final = threading.Lock()
_LOG: Final = logging.getLogger(__name__)


@contextlib.contextmanager
def image_settings() -> Iterator[None]:
    """GDAL settings for reading products; wrap a thread's work in it once."""
    with rasterio.Env(**_SETTINGS):
        yield


@contextlib.contextmanager
def unplaced_images() -> Iterator[None]:
    """Images without georeference, as before baseline 02.07, are opened without a warning.

    Filters of warnings are one for all threads, which would undo each other's: whoever starts
    threads that open images enters this first, and within it they leave the filters alone.
    """
    kind = NotGeoreferencedWarning
    # libraries add filters of single messages and modules, which say nothing of this warning
    general = [
        action
        for action, message, each, module, _ in warnings.filters
        if message is None and module is None and issubclass(kind, each)
    ]
    first = general[0] if general else ""
    with contextlib.nullcontext() if first == "ignore" else warnings.catch_warnings():
        if first != "ignore":
            warnings.simplefilter("ignore", kind)
        yield


def open_image(
    path: str, *, georeference: bool = False, tiff: bool = False, opener: Any = None
) -> Any:
    """The rasterio dataset of a GDAL path, without its ``georeference`` unless that is asked for.

    The XML has it too; wrap this in ``decoding``.

    Args:
        path: of the image.
        georeference: whether to read it, from the image itself alone.
        tiff: whether it is a GeoTIFF, in place of JPEG 2000.
        opener: opens ``path`` as a file, where it lies elsewhere than on this file system.
    """
    # the hooks are one for all threads
    with _OPENING, unplaced_images(), _messages_shown(path):
        sources = ("INTERNAL" if tiff else None) if georeference else "NONE"
        options = {} if sources is None else {"GEOREF_SOURCES": sources}
        driver = "GTiff" if tiff else _driver()
        return rasterio.open(path, driver=driver, opener=opener, **options)


@contextlib.contextmanager
def decoding(subject: object, part: str = "") -> Iterator[None]:
    """What GDAL says of an image that it cannot read, as a ``ProductError`` on ``subject``."""
    try:
        yield
    except UnicodeDecodeError as error:  # a message that quotes bytes of the file
        raise damaged(subject, part + error.object.decode("utf-8", "replace")) from error
    except (RasterioError, CPLE_BaseError, IndexError) as error:
        raise damaged(subject, f"{part}{error}") from error


@contextlib.contextmanager
def _messages_shown(path: str) -> Iterator[None]:
    """Warnings of GDAL that quote bytes of the file: rasterio has Python print a traceback."""
    hooks = sys.excepthook, sys.unraisablehook

    def keep_quiet(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if not isinstance(error, UnicodeDecodeError):
            hooks[0](kind, error, trace)

    def show(unraisable: sys.UnraisableHookArgs) -> None:
        if isinstance(error := unraisable.exc_value, UnicodeDecodeError):
            _LOG.warning("%s: %s", path, one_line(error.object.decode("utf-8", "replace")))
        else:
            hooks[1](unraisable)

    sys.excepthook, sys.unraisablehook = keep_quiet, show  # each is called, in this order
    try:
        yield
    finally:
        sys.excepthook, sys.unraisablehook = hooks


@functools.cache
def _driver() -> str:
    with rasterio.Env() as env:
        available = env.drivers()
    return next((driver for driver in _DRIVERS if driver in available), _DRIVERS[0])


def resolution_of(name: str, image: Member) -> int:
    """Metres, as the file's name says (``…_B02_10m.jp2``); the band's own where it does not."""
    if said := _RESOLUTION.search(image.name):
        return int(said[1])
    if is_cloud_mask(image):
        return RESOLUTIONS[-1]
    return RESOLUTIONS[0] if name == "TCI" else band(name).resolution


def is_cloud_mask(image: Member) -> bool:
    """Whether an image is Level-1C's own mask of clouds: see ``products/cloud_mask.py``."""
    return image.name.endswith(CLOUD_MASK)


def require_image(name: str, member: Member, grid: TileGrid) -> None:
    """``ProductError`` unless the image of a band, "SCL" or "TCI" is whole and as the XML says.

    A packed member must be unpacked first. The true-colour image is only a backdrop of pictures:
    it is looked at when it is drawn.
    """
    dtype = "uint8" if name in ("SCL", "TCI") else "uint16"
    components = 3 if name == "TCI" or is_cloud_mask(member) else 1
    frame, resolution = read_frame(member), resolution_of(name, member)
    shape, there = grid.shape(resolution), grid.transform(resolution)
    with (
        image_settings(),
        decoding(member),
        open_image(member.gdal_path, georeference=True) as image,
    ):
        crs, transform, dtypes = image.crs, image.transform, image.dtypes
    for fits, found, expected in (
        (
            (frame.shape, frame.components) == (shape, components),
            _size(frame.shape, frame.components),
            _size(shape, components),
        ),
        (set(dtypes) == {dtype}, f"{dtypes[0]} pixels", f"{dtype} pixels"),
        (crs in (None, rasterio.CRS.from_string(grid.crs)), f"CRS {crs}", grid.crs),
        (transform.is_identity or transform.almost_equals(there), _at(transform), _at(there)),
    ):
        if not fits:
            raise ProductError(
                member,
                found=found,
                expected=f"{expected}, as MTD_TL.xml says",
                remedy="Download the product again; its files do not belong together.",
            )


def _size(shape: tuple[int, int], components: int) -> str:
    return f"{shape[0]} × {shape[1]} pixels" + (f" × {components}" if components != 1 else "")


def _at(transform: Affine) -> str:
    return f"corner ({transform.c:.0f}, {transform.f:.0f}) and pixels of {transform.a:g} m"
