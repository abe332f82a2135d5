"""Rasters of codes in memory, and their regions as polygons."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
import shapely
from made_map import made_map
from made_pixel_map import made_header, made_pixels
from numpy.typing import NDArray

from geolulc.grid import Extent, Grid
from geolulc.maps.encoding import NODATA
from geolulc.maps.header import MapHeader
from geolulc.outputs.region_merging import RegionPolygons
from geolulc.outputs.regions import region_polygons

#: The kinds of maps.
KINDS = ("cells", "pixels")
_NUMBERS = itertools.count()


def made_codes(seed: int = 0) -> NDArray[np.uint8]:
    """The codes of ``made_pixels``: 600 × 720, speckled, partly without data."""
    p = made_pixels(made_header(), seed=seed)
    return np.where(p[0] == NODATA, 0, p.argmax(axis=0) + 1).astype(np.uint8)


def header_of(kind: str, shape: tuple[int, int]) -> MapHeader:
    """A map of so many cells of 600 m, the last row and column cut to half, or pixels of 10 m."""
    cell = 600 if kind == "cells" else 10
    cut = cell // 2 if kind == "cells" else 0
    rows, columns = shape
    ground = Extent("EPSG:32632", 600_000.0, 5_100_000.0, columns * cell - cut, rows * cell - cut)
    header = made_map().header if kind == "cells" else made_header()
    return replace(header, grid=Grid.over(ground, cell))


def confidence_of(header: MapHeader) -> NDArray[Any]:
    """Probabilities as rasters of that kind have them."""
    rng = np.random.default_rng(1)
    if header.exclusive:
        return rng.integers(100, 251, header.grid.shape, np.uint8)
    return rng.uniform(0.3, 1, header.grid.shape).astype(np.float32)


@contextmanager
def raster(values: NDArray[Any]) -> Iterator[Path]:
    """A raster in memory."""
    path = Path(f"/vsimem/{next(_NUMBERS)}.tif")
    shape = {"height": values.shape[0], "width": values.shape[1]}
    transform = rasterio.Affine(10, 0, 0, 0, -10, 0)
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype=values.dtype, transform=transform, **shape
    ) as dataset:
        dataset.write(values, 1)
    try:
        yield path
    finally:
        rasterio.shutil.delete(path)


def polygons_of(
    header: MapHeader, codes: NDArray[np.uint8], *, block: int = 2048, simplify: bool = False
) -> RegionPolygons:
    """The regions of ``codes``."""
    with raster(codes) as classes, raster(confidence_of(header)) as confidence:
        found = region_polygons(header, classes, confidence, simplify=simplify, block=block)
        return RegionPolygons.concatenated(list(found))


def in_order(polygons: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The polygons in one form, sorted; and the order."""
    same = shapely.normalize(polygons)
    order = np.argsort(shapely.to_wkb(same))
    return same[order], order
