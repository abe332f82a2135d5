"""Land-cover maps made from arrays: no network needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from geolulc.grid import MapGrid, TileGrid
from geolulc.maps.header import LandCoverMap, MapBlock, MapHeader
from geolulc.nomenclature import nomenclature
from geolulc.outputs import OutputOptions, SceneStory, Story, write_map

#: 5 × 6 cells of 1,200 m, the last row and column cut to half by the tile's edge.
TILE = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 6_600, 5_400)
SOUTHERN_TILE = TileGrid("EPSG:32722", 600_000.0, 7_900_000.0, 6_600, 5_400)
SCENE = {
    "name": "S2B_MSIL2A_20240625T101031_N0510_R022_T32TPS_20240625T151031",
    "sensing_time": "2024-06-25T10:10:31Z",
    "baseline": "05.10",
    "platform": "Sentinel-2B",
    "tile": "32TPS",
}


def made_map(
    tile: TileGrid = TILE,
    *,
    stride: int = 1200,
    seed: int = 0,
    nodata: float = 0.1,
    names: str = "ben19",
    clear: bool = True,
    **changes: Any,
) -> LandCoverMap:
    """A map with a blob of every class, some cells nodata (share ``nodata``).

    ``changes``: attributes of its header or its block.
    """
    grid = MapGrid(tile, stride)
    rng = np.random.default_rng(seed)
    classes = nomenclature(names).names
    rows, columns = grid.shape
    y, x = np.mgrid[:rows, :columns] + 0.5
    centres = rng.uniform(0, 1, (len(classes), 2)) * (rows, columns)
    size = max(rows, columns) / 5
    distance = np.hypot(y - centres[:, 0, None, None], x - centres[:, 1, None, None]) / size
    p = 0.9 * np.exp(-(distance**2)) + rng.uniform(0, 0.1, distance.shape)
    valid = np.ones(grid.shape, np.float32)
    empty = rng.random(grid.shape) < nodata
    valid[empty] = 0.25
    p[:, empty] = np.nan
    share = np.round(rng.uniform(0.5, 1, grid.shape), 3).astype(np.float32)
    header: dict[str, Any] = {
        "grid": grid.cells,
        "classes": classes,
        "nomenclature": nomenclature(names),
        "patch_size": grid.patch_size,
        "thresholds": tuple(np.round(rng.uniform(0.3, 0.6, len(classes)), 3).tolist()),
        "scene": SCENE,
        "model": {"name": "made", "sha256": "0" * 64},
    }
    block: dict[str, Any] = {
        "probabilities": p.astype(np.float32),
        "valid": valid,
        "clear": share if clear else None,
        "unlikeness": np.full(grid.shape, 0.5, np.float32),
    }
    for name, value in changes.items():
        (block if name in block else header)[name] = value
    return LandCoverMap(MapHeader(**header), MapBlock(0, 0, **block))


#: A grey true-colour image of all of ``TILE``.
BACKDROP = (np.full((54, 66, 3), 90, np.uint8), Affine(100, 0, TILE.left, 0, -100, TILE.top))


def save_map(
    made: LandCoverMap,
    out: Path,
    *outputs: str,
    story: Story = SceneStory(),  # noqa: B008 - a value
    overwrite: int = 0,
    **choices: Any,
) -> dict[str, Path]:
    """``write_map`` of a map in memory, of either kind.

    ``outputs``: their names; none for the defaults. ``choices``: other ``OutputOptions``.
    """
    options = OutputOptions(outputs or None, **choices)
    return write_map(
        made.header, [made.block], out, story=story, options=options, overwrite=overwrite
    )
