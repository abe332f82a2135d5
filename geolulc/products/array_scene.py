"""A scene that is held as arrays: what xarray opened, or numpy arrays with CRS and transform."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import CRSError

from geolulc.bands import SENTINEL2, Sensor
from geolulc.errors import ParameterError, ProductError, require_one_of
from geolulc.grid import TileGrid
from geolulc.products.refusals import PRODUCT_XML
from geolulc.products.scene import CLASSIFICATION, Image, Tiling, require_images

#: Pixels a side of the parts that are read at once of an array without chunks.
_TILE: Final = 1024
#: Reflectance itself, and not 1/10000 of it, is below.
_LARGEST_REFLECTANCE: Final = 10
#: Share of a pixel that coordinates may be off.
_SLACK: Final = 1e-3


@dataclass(frozen=True)
class ArrayImage:
    """One array as an ``Image``; ``data`` is anything that is cut like a numpy array."""

    name: str
    data: Any
    resolution: int
    tiling: Tiling
    nodata: float | None

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 of the scene classification, else uint16."""
        return np.dtype(np.uint8 if self.name == CLASSIFICATION else np.uint16)

    def read(self, row: int, column: int, out: NDArray[Any]) -> None:
        """One tile as digital numbers; ``ProductError`` for values that are none."""
        out[:] = self._numbers(self.data[self.tiling.rows(row), self.tiling.columns(column)])

    def shrunk(
        self, rows: slice, columns: slice, shape: tuple[int, int]
    ) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Some rows and columns as (1, *shape), of the nearest pixels."""
        down, across = (
            part.start + (np.arange(count) * 2 + 1) * (part.stop - part.start) // (2 * count)
            for part, count in zip((rows, columns), shape, strict=True)
        )
        return self._numbers(self.data[down][:, across])[None]

    def _numbers(self, part: Any) -> NDArray[Any]:
        values = np.asarray(part)
        fractions = values.dtype.kind == "f"
        if values.dtype.kind not in "uif":
            raise self._error(f"values of {values.dtype}")
        if values.dtype == self.dtype and self.nodata == 0:
            return values
        there = np.ones(values.shape, bool) if self.nodata is None else values != self.nodata
        if fractions:
            there &= ~np.isnan(values)
        known = values[there]
        if not known.size:
            return np.zeros(values.shape, self.dtype)
        least, most = known.min(), known.max()
        if least < 0 or most > np.iinfo(self.dtype).max:
            raise self._error(f"values from {least:g} to {most:g}")
        if self.name != CLASSIFICATION:
            if fractions and most < _LARGEST_REFLECTANCE:
                raise self._error(f"values up to {most:g}, as of reflectance")
            # a measurement of 0 would be taken for no data
            known = known if self.nodata == 0 else np.maximum(known, 1)
        found = np.zeros(values.shape, self.dtype)
        found[there] = np.rint(known) if fractions else known
        return found

    def _error(self, found: str) -> ProductError:
        return ProductError(
            f"array {self.name}",
            found=found,
            expected=f"digital numbers from 0 to {np.iinfo(self.dtype).max}, in 1/10000 of "
            "reflectance",
            remedy="Multiply reflectance by 10,000, and say which value is nodata.",
        )

    def __str__(self) -> str:
        return f"array {self.name}"


@dataclass(frozen=True)
class ArrayScene:
    """Arrays as a ``Scene``; made by ``array_scene``."""

    name: str
    grid: TileGrid
    level: str
    images: Mapping[str, ArrayImage]
    offsets: Mapping[str, int]
    sun_zenith: float | None
    facts: Mapping[str, str]

    @property
    def path(self) -> str:
        """Its name: it lies nowhere."""
        return self.name

    @contextlib.contextmanager
    def opened(
        self, names: Collection[str], *, verify: bool = True
    ) -> Iterator[Mapping[str, Image]]:
        """These images."""
        require_images(self, names)
        yield {name: self.images[name] for name in names}


def array_scene(
    arrays: Mapping[str, Any],
    *,
    offset: int | Mapping[str, int],
    crs: Any = None,
    transform: Any = None,
    nodata: float | None = 0,
    level: str = "L2A",
    sensor: Sensor = SENTINEL2,
    sun_zenith: float | None = None,
    name: str = "arrays",
    facts: Mapping[str, str] = MappingProxyType({}),
) -> ArrayScene:
    """A scene of arrays by the names of their bands ("B02", "SCL"), each at its own resolution.

    They cover the same ground. Values are digital numbers: ``value + offset`` is 1/10000 of
    reflectance.

    Args:
        arrays: an ``xarray.Dataset``, or a mapping of two-dimensional ``xarray.DataArray`` (with
            the coordinates of their pixels' centres and a CRS that rioxarray finds) or numpy
            arrays. "SCL" is the scene classification. Arrays of Dask are computed tile by tile.
        offset: of all bands, or by band: -1000 for Sentinel-2 since baseline 04.00, 0 before and
            for what is harmonised.
        crs: of numpy arrays, as pyproj takes it; projected, in metres, with an EPSG code.
        transform: of the array with the smallest pixels, (column, row) → (x, y).
        nodata: the value that means "no data"; so does NaN. Where it is another value than 0, a
            measurement of 0 becomes 1.
        level: "L2A" or "L1C".
        sensor: whose bands they are.
        sun_zenith: mean angle in degrees, which a model of Level-1C needs for Level-2A.
        name: for messages.
        facts: where the map comes from: platform, sensing_time, tile…

    Raises:
        ParameterError: an argument that cannot be used.
        ProductError: arrays that are not of one place.
    """
    require_one_of("level", level, PRODUCT_XML)
    if not arrays:
        raise _unplaced("arrays", "none", "at least one band", "Give arrays by name of band.")
    finest = max(np.shape(array)[-1] for array in arrays.values())
    places = {
        band: _of_coordinates(band, array)
        if hasattr(array, "dims")
        else _of_transform(band, array, crs, transform, finest)
        for band, array in arrays.items()
    }
    grid = _common_grid(places)
    images = {}
    for band, array in arrays.items():
        flat = _flat(band, getattr(array, "data", array) if hasattr(array, "dims") else array)
        chunks = getattr(flat, "chunksize", (_TILE, _TILE))
        size = tuple(min(most, own) for most, own in zip(chunks, flat.shape, strict=True))
        tiling = Tiling(flat.shape, (size[0], size[1]))
        images[band] = ArrayImage(band, flat, round(places[band].transform.a), tiling, nodata)
    bands = [band for band in arrays if band != CLASSIFICATION]
    by_band = offset if isinstance(offset, Mapping) else dict.fromkeys(bands, offset)
    if missing := [band for band in bands if band not in by_band]:
        raise _unplaced(
            "offset", f"none for {', '.join(missing)}", "one a band", "0 where there is none."
        )
    return ArrayScene(
        name=name,
        grid=grid,
        level=level,
        images=MappingProxyType(images),
        offsets=MappingProxyType({band: int(by_band[band]) for band in bands}),
        sun_zenith=sun_zenith,
        facts={
            "name": name,
            # said of those that are not the usual ones
            **({} if level == "L2A" else {"level": level}),
            **({} if sensor == SENTINEL2 else {"sensor": sensor.id}),
            **facts,
        },
    )


@dataclass(frozen=True)
class _Place:
    crs: str
    transform: Affine
    shape: tuple[int, int]

    @property
    def extent(self) -> tuple[str, float, float, int, int]:
        """CRS, left, top, width and height in metres."""
        size = self.transform.a
        rows, columns = self.shape
        return (
            self.crs,
            self.transform.c,
            self.transform.f,
            round(columns * size),
            round(rows * size),
        )


def _flat(name: str, array: Any) -> Any:
    """The two dimensions of an array; others may have the size 1."""
    shape = np.shape(array)
    if len(shape) < 2 or set(shape[:-2]) - {1} or min(shape[-2:]) < 2:
        raise _unplaced(f"array {name}", f"the shape {shape}", "rows and columns", "Give one band.")
    return array[(0,) * (len(shape) - 2)] if len(shape) > 2 else array


def _of_coordinates(name: str, array: Any) -> _Place:
    """The place of a ``DataArray``."""
    import rioxarray  # noqa: F401  registers the accessor ``.rio``

    shape = _flat(name, array.data).shape
    starts, steps = [], []
    for dim, count in zip(array.dims[-2:], shape, strict=True):
        if dim not in array.coords:
            raise _unplaced(
                f"array {name}", f"no coordinates {dim}", "centres of its pixels", "Add them."
            )
        centres = np.asarray(array.coords[dim], np.float64)
        step = (centres[-1] - centres[0]) / (count - 1)
        if not np.allclose(centres, centres[0] + step * np.arange(count), atol=abs(step) * _SLACK):
            raise _unplaced(
                f"array {name}", f"coordinates {dim} of uneven steps", "a regular grid", _RESAMPLE
            )
        starts.append(centres[0] - step / 2)
        steps.append(step)
    transform = Affine(steps[1], 0.0, starts[1], 0.0, steps[0], starts[0])
    return _place(name, array.rio.crs, transform, shape)


def _of_transform(name: str, array: Any, crs: Any, transform: Any, finest: int) -> _Place:
    """The place of a numpy array; its pixels are larger where it has fewer than ``finest``."""
    if transform is None:
        raise _unplaced("transform", "none", "that of the smallest pixels", "Give transform=….")
    shape = _flat(name, array).shape
    transform = transform if isinstance(transform, Affine) else Affine(*tuple(transform)[:6])
    return _place(name, crs, transform @ Affine.scale(finest / shape[1]), shape)


def _place(name: str, crs: Any, transform: Affine, shape: tuple[int, int]) -> _Place:
    subject = f"array {name}"
    try:
        found = rasterio.CRS.from_user_input(crs)
    except CRSError:
        raise _unplaced(subject, f"CRS {crs}", "a CRS", "Give crs=…, or .rio.write_crs.") from None
    code = found.to_epsg()
    if code is None or not found.is_projected or found.linear_units_factor[1] != 1:
        raise _unplaced(
            subject, f"CRS {found.to_string()[:60]}", "a projected CRS in metres, with a code", _UTM
        )
    size = transform.a
    square = (transform.b, transform.d, transform.e) == (0, 0, -size)
    if not square and not np.allclose([transform.b, transform.d, transform.e], [0, 0, -size]):
        raise _unplaced(
            subject,
            f"the transform {tuple(transform)[:6]}",
            "squares, north up, from the upper-left corner",
            _RESAMPLE,
        )
    if round(size) < 1 or abs(size - round(size)) > _SLACK:
        raise _unplaced(subject, f"pixels of {size:g} m", "whole metres", _RESAMPLE)
    transform = Affine(round(size), 0, transform.c, 0, -round(size), transform.f)
    return _Place(f"EPSG:{code}", transform, shape)


def _common_grid(places: Mapping[str, _Place]) -> TileGrid:
    first, place = next(iter(places.items()))
    for name, other in places.items():
        same_crs = other.crs == place.crs
        if not same_crs or not np.allclose(other.extent[1:], place.extent[1:], rtol=0, atol=_SLACK):
            raise ProductError(
                f"array {name}",
                found="{}, left {:.2f}, top {:.2f}, {} m × {} m".format(*other.extent),
                expected="{}, left {:.2f}, top {:.2f}, {} m × {} m, as {} has".format(
                    *place.extent, first
                ),
                remedy="Cut all arrays to the same ground.",
            )
    return TileGrid(*place.extent)


_RESAMPLE: Final = "Give arrays on the grid of the product."
_UTM: Final = "Reproject them to UTM."


def _unplaced(subject: str, found: str, expected: str, remedy: str) -> ParameterError:
    return ParameterError(subject, found=found, expected=expected, remedy=remedy)
