"""A map.tif of pixels back into its header; its pixels are read by windows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geolulc.errors import OutputError
from geolulc.grid import Extent, TileGrid
from geolulc.outputs.pixel_tags import PIXEL_SIZE_TAG
from geolulc.outputs.reading import opened_map
from geolulc.outputs.tags import MOSAIC, model_of, scene_of
from geolulc.pixel_map import PixelGrid, PixelMapHeader

#: Pixels along a window: a multiple of the files' blocks.
WINDOW: Final = 1024


@dataclass(frozen=True)
class PixelMap:
    """An open map.tif of pixels.

    Attributes:
        header: all of it but its pixels.
        dataset: the rasterio dataset: band 1 holds codes, 0 = no data.
        tags: its tags.
    """

    header: PixelMapHeader
    dataset: Any
    tags: Mapping[str, str]


@contextmanager
def opened_pixels(path: Path) -> Iterator[PixelMap]:
    """The map in a map.tif that ``write_pixel_map`` wrote.

    Raises:
        OutputError: ``path`` is not the map.tif of a map of pixels.
    """
    with opened_map(path) as dataset:
        tags = dataset.tags()
        if PIXEL_SIZE_TAG not in tags or tags.get("GEOLULC_FILE") != "classes":
            raise OutputError(
                path,
                found=f"geolulc's {tags.get('GEOLULC_FILE', 'unknown')} raster"
                + ("" if PIXEL_SIZE_TAG in tags else " of cells"),
                expected="the map.tif of a map of pixels, which holds its classes",
                remedy="Give the map.tif that geolulc map wrote with --resolution 10, 20 or 60.",
            )
        header = header_of(dataset, tags)
        if header.grid.shape != dataset.shape or header.grid.transform != dataset.transform:
            raise ValueError(f"a grid of {dataset.shape} pixels that its tags contradict")
    # opened again: what goes wrong while a map is used is not all the map's fault
    try:
        with rasterio.open(path) as dataset:
            yield PixelMap(header, dataset, tags)
    except RasterioError as error:
        raise OutputError(
            path,
            found=f"{type(error).__name__}: {error}",
            expected="a map that can be read",
            remedy="The file is damaged: map the scene again.",
        ) from error


def is_pixel_map(path: Path) -> bool:
    """Whether ``path`` is a raster of a map of pixels.

    Raises:
        OutputError: ``path`` is missing, no raster, or not written by geolulc.
    """
    with opened_map(path) as dataset:
        return PIXEL_SIZE_TAG in dataset.tags()


def windows(shape: tuple[int, int], size: int = WINDOW) -> Iterator[Window]:
    """Windows that cover a raster, from top to bottom and from left to right."""
    rows, columns = shape
    for top in range(0, rows, size):
        for left in range(0, columns, size):
            yield Window(left, top, min(size, columns - left), min(size, rows - top))


def header_of(dataset: Any, tags: Mapping[str, str]) -> PixelMapHeader:
    """All of an open map.tif of pixels but its pixels."""
    left, bottom, right, top = json.loads(tags["TILE_EXTENT"])
    kind = Extent if MOSAIC in tags else TileGrid
    tile = kind(dataset.crs.to_string(), left, top, round(right - left), round(top - bottom))
    west, south, east, north = json.loads(tags["EXTENT"])
    grid = PixelGrid(
        tile,
        int(tags[PIXEL_SIZE_TAG]),
        round(top - north),
        round(west - left),
        round(north - south),
        round(east - west),
    )
    return PixelMapHeader(
        grid,
        tuple(c["name"] for c in json.loads(tags["CLASSES"])),
        tags["NOMENCLATURE"],
        scene_of(tags),
        model_of(tags),
        tuple(json.loads(tags["MASKED_SCL"])),
    )
