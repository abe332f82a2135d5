"""Stacks of GeoTIFFs: the twelve bands of a store as one file, or as a folder of one file a band.

Bands are found by name: by the descriptions of one file's bands ("B02"), or by the ends of file
names ("…_B02.tif", "…_B02_10m.tif"). They are brought to the grids of 10, 20 and 60 m of the UTM
zone: finer pixels by their mean, others by the nearest one, so that pixels which lie on these grids
stay as they are. Numbers are 10,000 × reflectance, unless a band's scale and offset say otherwise.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio.errors import RasterioError
from rasterio.warp import Resampling, reproject, transform_bounds

from geolulc.bands import BAND_NAMES, GROUPS, band
from geolulc.errors import DatasetError, ParameterError
from geolulc.grid import ALIGNMENT, PATCH_SIZE

#: The band of Level-1C that stores leave out.
_CIRRUS: Final = "B10"
_SUFFIXES: Final = (".tif", ".tiff")
_NAMED: Final = re.compile(r"(?:.*[_.-])?(B\d{1,2}A?)(?:_\d\dm)?\.tiff?", re.IGNORECASE)
_UTM: Final = re.compile(r"EPSG:32[67]\d\d")
#: Pixels of 10 m: twelve bands of so many take 2 GB.
_LARGEST: Final = 100_000_000
#: Northings of UTM zones end at 10,000 km.
_FARTHEST: Final = 2e7
#: Metres.
_DEGREE: Final = 111_000
_FULL: Final = 10_000
_TIME: Final = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d:\d\d:\d\d)")


@dataclass(frozen=True)
class Stack:
    """A stack on the grids of its UTM zone.

    Attributes:
        name: of its file or folder, without suffix.
        level: "L1C" where there is a band B10, which Level-2A has not; else "L2A".
        date: ISO 8601, UTC, of the tag ``TIFFTAG_DATETIME`` or ``ACQUISITION_TIME``; "" without.
        crs: "EPSG:326…" or "EPSG:327…".
        left, top: projected coordinates of its corner in metres.
        size: width and height in metres, whole pixels of 60 m.
        dn: band → uint16 (rows, columns) at its own resolution; 0 is no data. Empty where only
            the place was asked for.
    """

    name: str
    level: str
    date: str
    crs: str
    left: float
    top: float
    size: tuple[int, int]
    dn: dict[str, NDArray[np.uint16]] = field(default_factory=dict, repr=False)

    def cut(self, top: int, left: int) -> dict[int, NDArray[np.uint16]]:
        """The pixels of a patch so many metres from the corner, as ``Patch.dn`` has them."""
        found = {}
        for resolution, names in GROUPS.items():
            side = PATCH_SIZE // resolution
            rows, columns = (slice(n // resolution, n // resolution + side) for n in (top, left))
            found[resolution] = np.stack([self.dn[name][rows, columns] for name in names])
        return found


def is_stack(path: Path) -> bool:
    """Whether ``path`` is a GeoTIFF, or a folder of GeoTIFFs that are named as bands."""
    if path.is_file():
        return path.suffix.lower() in _SUFFIXES
    return path.is_dir() and len(_files(path)) > 1


def open_stack(path: Path, *, pixels: bool = True) -> Stack:
    """A stack with its pixels, or only where it lies.

    Raises:
        DatasetError: a band is missing, a file is no GeoTIFF or lies nowhere, or too large.
    """
    try:
        with _opened(path) as bands:
            first, _ = bands["B02"]
            crs, left, top, size = _ground(path, first)
            level = "L1C" if _CIRRUS in bands else "L2A"
            stack = Stack(path.stem, level, _date(first.tags()), crs, left, top, size)
            if pixels:
                stack.dn.update({n: _read(*bands[n], stack, n) for n in BAND_NAMES})
            return stack
    except (RasterioError, ProjError, ValueError, OverflowError) as error:
        raise _unusable(path, f"a file that cannot be read ({error})") from error


def _files(folder: Path) -> dict[str, Path]:
    """Band → file, of the GeoTIFFs in a folder."""
    found = {}
    for file in sorted(folder.iterdir()):
        named = _NAMED.fullmatch(file.name)
        if named and (name := _band_name(named[1])) is not None:
            found[name] = file
    return found


def _band_name(text: str) -> str | None:
    """The name of the band that is called ``text``, that of cirrus among them; None for others."""
    try:
        return _CIRRUS if text.upper() == _CIRRUS else band(text).name
    except ParameterError:
        return None


@contextmanager
def _opened(path: Path) -> Iterator[dict[str, tuple[Any, int]]]:
    """Band → (dataset, number of its band)."""
    opened: list[Any] = []
    try:
        bands: dict[str, tuple[Any, int]] = {}
        if path.is_dir():
            for name, file in _files(path).items():
                opened.append(rasterio.open(file, driver="GTiff"))
                bands[name] = opened[-1], 1
        else:
            opened.append(rasterio.open(path, driver="GTiff"))
            for number, text in enumerate(opened[0].descriptions, start=1):
                if (described := _band_name(text or "")) is not None:
                    bands[described] = opened[0], number
        if missing := [name for name in BAND_NAMES if name not in bands]:
            raise _unusable(path, f"no band {', '.join(missing)}")
        yield bands
    finally:
        for dataset in opened:
            dataset.close()


def _ground(path: Path, first: Any) -> tuple[str, float, float, tuple[int, int]]:
    """CRS, corner and size of the whole pixels of 60 m from the corner of B02."""
    if first.crs is None or first.transform.is_identity:
        raise _unusable(path, "no georeference")
    if first.width * first.height > _LARGEST:
        raise _unusable(path, f"{first.width} × {first.height} pixels: too many for the memory")
    code = first.crs.to_epsg()
    crs = f"EPSG:{code}"
    bounds: tuple[float, ...] = tuple(first.bounds)
    if not _UTM.fullmatch(crs):
        west, south, east, north = transform_bounds(first.crs, 4326, *bounds)
        zone = int(((west + east) / 2 + 180) // 6) % 60 + 1
        crs = f"EPSG:{326 if south + north >= 0 else 327}{zone:02d}"
        to_utm = Transformer.from_crs(4326, crs, always_xy=True)
        x, y = to_utm.transform([west, west, east, east], [south, north, south, north])
        # the rectangle inside, on whole tens of metres
        bounds = max(x[0], x[1]), max(y[0], y[2]), min(x[2], x[3]), min(y[1], y[3])
        bounds = tuple(round(value / 10) * 10.0 for value in bounds)
    left, bottom, right, top = bounds
    if not all(math.isfinite(value) and abs(value) < _FARTHEST for value in bounds):
        raise _unusable(path, f"a place out of the world ({first.crs}, {tuple(first.bounds)})")
    if (right - left) * (top - bottom) > _LARGEST * 100:
        raise _unusable(path, f"{right - left:.0f} m × {top - bottom:.0f} m: too large")
    width, height = (
        int((side + 0.5) // ALIGNMENT) * ALIGNMENT for side in (right - left, top - bottom)
    )
    return crs, left, top, (width, height)


def _read(dataset: Any, number: int, stack: Stack, name: str) -> NDArray[np.uint16]:
    resolution = band(name).resolution
    width, height = stack.size
    grid = Affine(resolution, 0, stack.left, 0, -resolution, stack.top)
    values = dataset.read(number, out_dtype="float32")
    nodata = 0 if dataset.nodata is None else dataset.nodata
    known = np.isfinite(values) & (values != nodata)
    scale, offset = dataset.scales[number - 1], dataset.offsets[number - 1]
    if (scale, offset) != (1.0, 0.0):
        values = (values * scale + offset) * _FULL
    known &= np.isfinite(values)
    values = np.where(known, np.clip(values, 1, 65535), 0)
    out = np.zeros((height // resolution, width // resolution), np.float32)
    metres = abs(dataset.transform.a) * (_DEGREE if dataset.crs.is_geographic else 1)
    reproject(
        values,
        out,
        src_transform=dataset.transform,
        src_crs=dataset.crs,
        src_nodata=0,
        dst_transform=grid,
        dst_crs=stack.crs,
        dst_nodata=0,
        resampling=Resampling.average if metres < 0.75 * resolution else Resampling.nearest,
    )
    return np.round(out).astype(np.uint16)


def _date(tags: dict[str, str]) -> str:
    for name in ("ACQUISITION_TIME", "TIFFTAG_DATETIME"):
        if found := _TIME.match(tags.get(name, "")):
            date = f"{found[1]}-{found[2]}-{found[3]}T{found[4]}"
            with suppress(ValueError):
                return datetime.fromisoformat(date).isoformat()
    return ""


def _unusable(path: Path, found: str) -> DatasetError:
    return DatasetError(
        path,
        found=found,
        expected="the twelve bands of a store: a GeoTIFF whose bands are described as B01 … B12, "
        "or a folder of one a band (…_B02.tif)",
        remedy="Name the bands (rio edit-info, gdal_edit), or give other files.",
    )
