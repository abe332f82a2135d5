"""A scene that is held as arrays: what xarray opened, or numpy arrays with CRS and transform."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.bands import SENTINEL2, Sensor
from geolulc.errors import ProductError, require_one_of
from geolulc.grid import TileGrid
from geolulc.products.array_places import common_grid, flat, of_coordinates, of_transform, unplaced
from geolulc.products.directions import Direction
from geolulc.products.refusals import PRODUCT_XML
from geolulc.products.scene import CLASSIFICATION, Image, Tiling, require_images

#: Pixels a side of the parts that are read at once of an array without chunks.
_TILE: Final = 1024
#: Reflectance itself, and not 1 / ``scale`` of it, is below.
_LARGEST_REFLECTANCE: Final = 10


@dataclass(frozen=True)
class ArrayImage:
    """One array as an ``Image``; ``data`` is anything that is cut like a numpy array."""

    name: str
    data: Any
    resolution: int
    tiling: Tiling
    nodata: float | None
    scale: int

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
            if fractions and most < _LARGEST_REFLECTANCE < self.scale:
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
            expected=f"digital numbers from 0 to {np.iinfo(self.dtype).max}, in 1/{self.scale} "
            "of reflectance",
            remedy=f"Multiply reflectance by {self.scale:,}, and say which value is nodata.",
        )

    def __str__(self) -> str:
        return f"array {self.name}"


@dataclass(frozen=True)
class ArrayScene:
    """Arrays as a ``Scene``; made by ``array_scene``."""

    name: str
    grid: TileGrid
    sensor: Sensor
    level: str
    images: Mapping[str, ArrayImage]
    offsets: Mapping[str, int]
    sun: Direction | None
    views: Mapping[str, Direction]
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
    sun: Direction | None = None,
    views: Mapping[str, Direction] = MappingProxyType({}),
    name: str = "arrays",
    facts: Mapping[str, str] = MappingProxyType({}),
) -> ArrayScene:
    """A scene of arrays by the names of their bands ("B02", "SCL"), each at its own resolution.

    They cover the same ground. Values are digital numbers: ``value + offset`` is 1/10000 of
    reflectance, or 1 / ``scale`` of another sensor.

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
        sun: where it stands, which a model of Level-1C needs for Level-2A.
        views: where the sensor is seen from the ground, by band; such a model takes the usual
            place of Sentinel-2 for bands of which it is not said.
        name: for messages.
        facts: where the map comes from: platform, sensing_time, tile…

    Raises:
        ParameterError: an argument that cannot be used.
        ProductError: arrays that are not of one place.
    """
    require_one_of("level", level, PRODUCT_XML)
    if not arrays:
        raise unplaced("arrays", "none", "at least one band", "Give arrays by name of band.")
    finest = max(np.shape(array)[-1] for array in arrays.values())
    places = {
        band: of_coordinates(band, array)
        if hasattr(array, "dims")
        else of_transform(band, array, crs, transform, finest)
        for band, array in arrays.items()
    }
    grid = common_grid(places, sensor.resolutions[-1])
    images = {}
    for band, array in arrays.items():
        pixels = flat(band, getattr(array, "data", array) if hasattr(array, "dims") else array)
        chunks = getattr(pixels, "chunksize", (_TILE, _TILE))
        size = tuple(min(most, own) for most, own in zip(chunks, pixels.shape, strict=True))
        tiling = Tiling(pixels.shape, (size[0], size[1]))
        images[band] = ArrayImage(
            band, pixels, round(places[band].transform.a), tiling, nodata, sensor.scale
        )
    bands = [band for band in arrays if band != CLASSIFICATION]
    by_band = offset if isinstance(offset, Mapping) else dict.fromkeys(bands, offset)
    if missing := [band for band in bands if band not in by_band]:
        raise unplaced(
            "offset", f"none for {', '.join(missing)}", "one a band", "0 where there is none."
        )
    return ArrayScene(
        name=name,
        grid=grid,
        sensor=sensor,
        level=level,
        images=MappingProxyType(images),
        offsets=MappingProxyType({band: int(by_band[band]) for band in bands}),
        sun=sun,
        views=views,
        facts={
            "name": name,
            # said of those that are not the usual ones
            **({} if level == "L2A" else {"level": level}),
            **({} if sensor == SENTINEL2 else {"sensor": sensor.id}),
            **facts,
        },
    )
