"""Pixels of a patch from its twelve single-band GeoTIFFs.

tifffile reads the plain files of the official archives in a third of GDAL's time. Whatever is not
as plain as expected goes to GDAL, which reads it or says what is wrong with it.
"""

from __future__ import annotations

import functools
import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import tifffile
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError, RasterioIOError
from rasterio.io import MemoryFile

from geolulc.bands import GROUPS
from geolulc.datasets.patch import BIGEARTHNET
from geolulc.errors import DatasetError
from geolulc.grid import PATCH_SIZE

#: For the GDAL environment of those who read many patches.
GDAL_OPTIONS: Final = {"GDAL_NUM_THREADS": "1"}

#: A file of the archive: its path, or its bytes where it lies in a tar archive.
BandFile = Path | bytes

#: The band whose georeference is the patch's.
_PLACED_BY: Final = "B02"
#: A band of 120 × 120 uint16 is 29 kB; an uncompressed TIFF of it hardly more.
LARGEST_FILE: Final = 256 << 10

# tifffile logs what it finds odd; GDAL is asked then
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Georeference:
    """``crs`` is an authority code; ``left`` and ``top`` the upper-left corner, in metres."""

    crs: str
    left: float
    top: float


def read_groups(
    patch_name: str, files: Mapping[str, BandFile]
) -> tuple[dict[int, NDArray[np.uint16]], Georeference]:
    """The three groups of a patch and where it lies.

    Args:
        patch_name: for messages.
        files: band name → GeoTIFF.

    Returns:
        Resolution → uint16 (bands, pixels, pixels) in the order of ``bands.GROUPS``; the
        georeference of B02.

    Raises:
        DatasetError: a band is missing, unreadable, not one uint16 band or of another size.
    """
    missing = [name for names in GROUPS.values() for name in names if name not in files]
    if missing:
        found = f"no file of {', '.join(missing)}"
        raise broken_patch(patch_name, found, "twelve GeoTIFFs, one a band")
    groups = {}
    places = {}
    for resolution, names in GROUPS.items():
        group = np.empty(BIGEARTHNET.shapes[resolution], np.uint16)
        for channel, band in enumerate(names):
            group[channel], places[band] = _read_tiff(
                f"{patch_name}_{band}.tif", files[band], group.shape[1:]
            )
        groups[resolution] = group
    where = places[_PLACED_BY]
    if where is None:
        placed_by = files[_PLACED_BY]
        file = placed_by if isinstance(placed_by, Path) else f"{patch_name}_{_PLACED_BY}.tif"
        expected = "a UTM zone and north-up pixels of 10 m"
        raise broken_patch(file, "no georeference of its kind", expected)
    return groups, where


def read_georeference(patch_name: str, files: Mapping[str, BandFile]) -> Georeference | None:
    """Where a patch lies, as ``read_groups`` says it; None where its file has no such georeference.

    ``DatasetError`` where there is no such file, or it cannot be read.
    """
    if _PLACED_BY not in files:
        raise broken_patch(patch_name, f"no file of {_PLACED_BY}", "a GeoTIFF of each band")
    shape = BIGEARTHNET.shapes[10][1:]
    return _read_tiff(f"{patch_name}_{_PLACED_BY}.tif", files[_PLACED_BY], shape)[1]


def read_reference_map(name: str, file: BandFile) -> NDArray[np.uint16]:
    """CORINE codes, uint16 (120, 120); ``DatasetError`` where the file is none."""
    return _read_tiff(name, file, BIGEARTHNET.reference_shape)[0]


def _read_tiff(
    name: str, file: BandFile, shape: tuple[int, ...]
) -> tuple[NDArray[np.uint16], Georeference | None]:
    subject = file if isinstance(file, Path) else name
    data = _read_bytes(file) if isinstance(file, Path) else file
    if not 0 < len(data) <= LARGEST_FILE:
        found = "an empty file" if not data else f"more than {LARGEST_FILE} bytes"
        raise broken_patch(subject, found, f"a GeoTIFF of {shape[0]} × {shape[1]} pixels")
    return _read_plain(data, shape) or _read_with_gdal(subject, data, shape)


def _read_bytes(file: Path) -> bytes:
    try:
        # a pipe or a device could be read for ever
        if file.is_file():
            with file.open("rb", buffering=0) as stream:
                return stream.read(LARGEST_FILE + 1)
        found = "no ordinary file"
    except OSError as error:
        found = f"a file that cannot be read ({error.strerror})"
    raise broken_patch(file, found, "a GeoTIFF")


def _read_plain(
    data: bytes, shape: tuple[int, ...]
) -> tuple[NDArray[np.uint16], Georeference | None] | None:
    """Pixels and place of a file as the official archives have them; None for any other."""
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            page = tiff.pages[0]
            if len(tiff.pages) != 1 or page.shape != shape or page.dtype != np.uint16:
                return None
            tags = page.geotiff_tags
            scale, tie = tags["ModelPixelScale"], tags["ModelTiepoint"]
            plain = scale[0] == scale[1] == PATCH_SIZE / shape[0] and list(tie[:3]) == [0, 0, 0]
            if not plain or tags.get("GTRasterTypeGeoKey", 1) != 1:
                return None
            where = Georeference(f"EPSG:{int(tags['ProjectedCSTypeGeoKey'])}", tie[3], tie[4])
            return page.asarray(), where
    except Exception:  # whatever is wrong, GDAL says it better
        return None


def _read_with_gdal(
    subject: object, data: bytes, shape: tuple[int, ...]
) -> tuple[NDArray[np.uint16], Georeference | None]:
    try:
        with MemoryFile(data, ext=".tif") as memory, memory.open(driver="GTiff") as raster:
            if (raster.count, raster.dtypes[0], raster.shape) != (1, "uint16", shape):
                size = f"{raster.height} × {raster.width} pixels"
                found = f"{raster.count} band(s) of {raster.dtypes[0]}, {size}"
                expected = f"1 band of uint16, {shape[0]} × {shape[1]} pixels"
                raise broken_patch(subject, found, expected)
            transform = raster.transform
            crs = authority_code(raster.crs.to_wkt()) if raster.crs else None
            pixel = PATCH_SIZE / shape[0]
            north_up = (transform.a, transform.b, transform.d, transform.e) == (pixel, 0, 0, -pixel)
            where = Georeference(crs, transform.c, transform.f) if crs and north_up else None
            return raster.read(1), where
    except (RasterioIOError, RasterioError) as error:
        found = f"a file that cannot be read ({error})"
        raise broken_patch(subject, found, "a GeoTIFF") from error


def broken_patch(subject: object, found: str, expected: str) -> DatasetError:
    """The error of a patch, or of a file of it, that cannot be stored."""
    remedy = "Restore the patch from the archive, or leave it out with --skip-broken."
    return DatasetError(subject, found=found, expected=expected, remedy=remedy)


@functools.lru_cache(maxsize=256)
def authority_code(wkt: str) -> str | None:
    """ "EPSG:32633" of a CRS as WKT; None where it has no code."""
    try:
        authority = CRS.from_wkt(wkt).to_authority()
    except CRSError:
        return None
    return None if authority is None else ":".join(authority)
