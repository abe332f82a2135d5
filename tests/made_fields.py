"""Maps whose probabilities say where on Earth they are, cut from one smooth landscape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from geolulc.grid import Grid, MapGrid, TileGrid
from geolulc.maps.header import LandCoverMap, MapBlock, MapHeader
from geolulc.nomenclature import nomenclature
from geolulc.outputs.options import OutputOptions
from geolulc.outputs.story import SceneStory
from geolulc.outputs.writing import write_map

CLASSES = ("Arable land", "Pastures", "Marine waters")
#: Just what a mosaic needs of a map.
FEW = ("probabilities", "uncertainty")


def landscape(longitude: NDArray, latitude: NDArray) -> NDArray[np.float32]:
    """(class, …): smooth over some 10 km, between 0 and 1."""
    waves = (
        np.sin(longitude * 40) * np.cos(latitude * 50),
        np.sin(longitude * 25 + latitude * 31),
        np.cos(longitude * 37) * np.sin(latitude * 23),
    )
    return np.stack([0.5 + 0.45 * wave for wave in waves]).astype(np.float32)


def landscape_on(grid: Grid) -> NDArray[np.float32]:
    """The landscape at the centres of the cells."""
    rows, columns = grid.shape
    x = grid.extent.left + (np.arange(columns) + 0.5) * grid.cell
    y = grid.extent.top - (np.arange(rows) + 0.5) * grid.cell
    transformer = Transformer.from_crs(grid.extent.crs, 4326, always_xy=True)
    return landscape(*transformer.transform(*np.meshgrid(x, y)))


def made_field(
    left: float = 600_000.0,
    top: float = 5_100_000.0,
    width: int = 24_000,
    height: int = 18_000,
    *,
    crs: str = "EPSG:32632",
    stride: int = 600,
    time: str = "2024-06-25T10:10:31Z",
    name: str | None = None,
    **changes: Any,
) -> LandCoverMap:
    """A map of the landscape, all valid and clear.

    ``changes``: attributes of its header or its block.
    """
    patches = MapGrid(TileGrid(crs, left, top, width, height), stride)
    whole = np.ones(patches.shape, np.float32)
    header: dict[str, Any] = {
        "grid": patches.cells,
        "classes": CLASSES,
        "nomenclature": nomenclature("ben19"),
        "patch_size": patches.patch_size,
        "thresholds": (0.4, 0.5, 0.6),
        "scene": {
            "name": name or f"{crs[5:]}_{left:.0f}_{top:.0f}_{time[:10]}",
            "sensing_time": time,
            "platform": "Sentinel-2B",
            "tile": crs[5:],
        },
        "model": {"name": "made", "sha256": "0" * 64},
    }
    block: dict[str, Any] = {"probabilities": landscape_on(patches.cells), "valid": whole}
    block["clear"] = whole
    for attribute, value in changes.items():
        (block if attribute in block else header)[attribute] = value
    return LandCoverMap(MapHeader(**header), MapBlock(0, 0, **block))


def flat_field(p: float, *, time: str, clear: float = 1.0, **options: Any) -> LandCoverMap:
    """A map of one probability everywhere."""
    shape = made_field(time=time, **options).block.probabilities.shape
    return made_field(
        time=time,
        probabilities=np.full(shape, p, np.float32),
        clear=np.full(shape[1:], clear, np.float32),
        **options,
    )


def changed(made: LandCoverMap, **changes: Any) -> LandCoverMap:
    """The map with other attributes of its header or its block."""
    names = MapBlock.__dataclass_fields__
    block = {name: value for name, value in changes.items() if name in names}
    header = {name: value for name, value in changes.items() if name not in names}
    return LandCoverMap(replace(made.header, **header), replace(made.block, **block))


def write_field(
    folder: Path,
    made: LandCoverMap,
    outputs: tuple[str, ...] = FEW,
    *,
    dtype: str = "float32",
    overwrite: int = 0,
) -> Path:
    """The map as ``folder``/NAME.tif with its shares."""
    path = folder / f"{made.header.scene['name']}.tif"
    options = OutputOptions(outputs, dtype=dtype)
    story = SceneStory()
    write_map(made.header, [made.block], path, story=story, options=options, overwrite=overwrite)
    return path
