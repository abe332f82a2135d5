"""Pixels of a patch from its twelve single-band GeoTIFFs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError, RasterioIOError
from rasterio.io import DatasetReader, MemoryFile

from geolulc.bands import GROUPS
from geolulc.datasets.patch import GROUP_SHAPES, REFERENCE_SHAPE
from geolulc.errors import DatasetError

#: Without a look at the folder for side-car files: a patch's folder holds none.
GDAL_OPTIONS: Final = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Georeference:
    """``crs`` is an authority code; ``left`` and ``top`` the upper-left corner, in metres."""

    crs: str
    left: float
    top: float


#: A file of the archive: its path, or its bytes where it lies in a tar archive.
BandFile = Path | bytes


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
        raise DatasetError(
            patch_name,
            found=f"no file of {', '.join(missing)}",
            expected="twelve GeoTIFFs, one a band",
            remedy="Restore the patch from the archive, or leave it out with --skip-broken.",
        )
    groups = {}
    with _opened(f"{patch_name}_B02.tif", files["B02"], GROUP_SHAPES[10][1:]) as raster:
        where = _georeference(f"{patch_name}_B02.tif", raster)
    for resolution, names in GROUPS.items():
        group = np.empty(GROUP_SHAPES[resolution], np.uint16)
        for channel, band in enumerate(names):
            with _opened(f"{patch_name}_{band}.tif", files[band], group.shape[1:]) as raster:
                raster.read(1, out=group[channel])
        groups[resolution] = group
    return groups, where


def read_reference_map(name: str, file: BandFile) -> NDArray[np.uint16]:
    """CORINE codes, uint16 (120, 120); ``DatasetError`` where the file is none."""
    with _opened(name, file, REFERENCE_SHAPE) as raster:
        codes: NDArray[np.uint16] = raster.read(1)
    return codes


@contextlib.contextmanager
def _opened(name: str, file: BandFile, shape: tuple[int, ...]) -> Iterator[DatasetReader]:
    subject = file if isinstance(file, Path) else name
    try:
        with contextlib.ExitStack() as stack:
            if isinstance(file, Path):
                raster = stack.enter_context(rasterio.open(file, driver="GTiff", sharing=False))
            else:
                memory = stack.enter_context(MemoryFile(file, ext=".tif"))
                raster = stack.enter_context(memory.open(driver="GTiff", sharing=False))
            found = (raster.count, raster.dtypes[0], (raster.height, raster.width))
            if found != (1, "uint16", shape):
                raise DatasetError(
                    subject,
                    found=f"{found[0]} band(s) of {found[1]}, {found[2][0]} × {found[2][1]} pixels",
                    expected=f"1 band of uint16, {shape[0]} × {shape[1]} pixels",
                    remedy="Restore the patch from the archive, or leave it out with "
                    "--skip-broken.",
                )
            yield raster
    except (RasterioIOError, RasterioError) as error:
        raise DatasetError(
            subject,
            found=f"a file that cannot be read ({error})",
            expected="a GeoTIFF",
            remedy="Restore the patch from the archive, or leave it out with --skip-broken.",
        ) from error


def _georeference(name: str, raster: DatasetReader) -> Georeference:
    transform = raster.transform
    crs = authority_code(raster.crs.to_wkt()) if raster.crs else None
    if crs is None or (transform.a, transform.b, transform.d, transform.e) != (10, 0, 0, -10):
        raise DatasetError(
            name,
            found=f"CRS {raster.crs}, transform {tuple(transform)[:6]}",
            expected="a UTM zone and north-up pixels of 10 m",
            remedy="Restore the patch from the archive, or leave it out with --skip-broken.",
        )
    return Georeference(crs, float(transform.c), float(transform.f))


@functools.lru_cache(maxsize=256)
def authority_code(wkt: str) -> str | None:
    """ "EPSG:32633" of a CRS as WKT; None where it has no code."""
    try:
        authority = CRS.from_wkt(wkt).to_authority()
    except CRSError:
        return None
    return None if authority is None else ":".join(authority)
