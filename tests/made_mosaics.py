"""Maps of cells and of pixels that mosaics are made of, and the rasters of a mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from made_fields import CLASSES, made_field, write_field
from made_pixel_map import made_header, strips
from numpy.typing import NDArray

from geolulc.grid import TileGrid
from geolulc.maps.header import MapHeader
from geolulc.mosaics import MosaicOptions, make_mosaic
from geolulc.outputs.options import OutputOptions
from geolulc.outputs.story import SceneStory
from geolulc.outputs.writing import write_map

TIME = "2024-06-25T10:10:31Z"
#: All rasters of a map of pixels.
PIXEL_RASTERS = ("classes", "confidence", "top3", "probabilities")
#: What a mosaic needs of a map: its map.tif and the raster beside it.
NEEDED = {"cells": ("probabilities", "uncertainty"), "pixels": PIXEL_RASTERS}
#: All rasters of a mosaic.
RASTERS = {
    "cells": ("probabilities", "classes", "presence", "uncertainty", "observations", "confidence"),
    "pixels": (*PIXEL_RASTERS, "observations"),
}
#: The output that map.tif holds.
MAIN = {"cells": "probabilities", "pixels": "classes"}


def pixel_header(
    left: float = 600_000.0,
    *,
    name: str = "a",
    time: str = TIME,
    tile: TileGrid | None = None,
    size: int = 20,
    classes: tuple[str, ...] = CLASSES,
    **changes: Any,
) -> MapHeader:
    """The header of a map over 3.6 × 2.4 km in pixels of 20 m: 120 rows, 180 columns."""
    tile = tile or TileGrid("EPSG:32632", left, 5_100_000.0, 3_600, 2_400)
    scene = {"name": name, "sensing_time": time, "platform": "Sentinel-2B", "tile": "32TPS"}
    return made_header(tile, size, classes=classes, **{"scene": scene, **changes})


def flat_pixels(header: MapHeader, *steps: int) -> NDArray[np.uint8]:
    """Probabilities that are the same everywhere, in steps of 1 / 250."""
    shape = len(steps), *header.grid.shape
    return np.full(shape, np.array(steps, np.uint8)[:, None, None], np.uint8)


def write_pixels(
    folder: Path,
    header: MapHeader,
    steps: NDArray[np.uint8],
    outputs: Sequence[str] = PIXEL_RASTERS,
) -> Path:
    """The map as ``folder``/NAME.tif with the rasters beside it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{header.scene['name']}.tif"
    options = OutputOptions(tuple(outputs))
    write_map(header, strips(steps), path, story=SceneStory(), options=options, overwrite=True)
    return path


def write_flat(
    kind: str,
    folder: Path,
    name: str,
    *steps: int,
    left: float = 600_000.0,
    time: str = TIME,
    classes: tuple[str, ...] = CLASSES,
    **changes: Any,
) -> Path:
    """A map of either kind with the same probabilities everywhere, in steps of 1 / 250."""
    folder.mkdir(exist_ok=True)
    if kind == "pixels":
        header = pixel_header(left, name=name, time=time, classes=classes, **changes)
        return write_pixels(folder, header, flat_pixels(header, *steps))
    made = made_field(left, name=name, time=time)
    p = np.array(steps, np.float32)[:, None, None] / 250
    shares = np.broadcast_to(p, (len(steps), *made.header.grid.shape))
    changes = {"thresholds": (), **changes, "probabilities": shares, "classes": classes}
    return write_field(folder, made_field(left, name=name, time=time, **changes), overwrite=True)


def mosaic(
    folder: Path, paths: Sequence[Path], outputs: Sequence[str] | None = None, **choices: Any
) -> Path:
    """The mosaic ``folder``/mosaic.tif; ``choices`` are of ``MosaicOptions``."""
    out = folder / "mosaic.tif"
    output = OutputOptions(None if outputs is None else tuple(outputs))
    make_mosaic(list(paths), out, MosaicOptions(**choices), output, overwrite=True)
    return out


def read(path: Path, part: str = "") -> NDArray[Any]:
    """All bands of map.tif, or of the raster ``part`` beside it."""
    name = f"{path.stem}_{part}.tif" if part else path.name
    with rasterio.open(path.with_name(name)) as dataset:
        return np.asarray(dataset.read())


def read_all(kind: str, path: Path) -> dict[str, NDArray[Any]]:
    """Output → all bands of the raster, of all rasters beside map.tif and of itself."""
    return {
        name: read(path, "" if name == MAIN[kind] else name)
        for name in RASTERS[kind]
        if name == MAIN[kind] or path.with_name(f"{path.stem}_{name}.tif").is_file()
    }
