"""Maps at pixel precision made from arrays: no network needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from made_map import SCENE
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from geolulc.grid import Grid, TileGrid
from geolulc.maps.encoding import FULL, NODATA
from geolulc.maps.header import LandCoverMap, MapBlock, MapHeader
from geolulc.nomenclature import nomenclature

#: 6 × 7.2 km.
TILE = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 7_200, 6_000)


def made_header(tile: TileGrid = TILE, resolution: int = 10, **changes: Any) -> MapHeader:
    """The header of a map of all of ``tile``."""
    arguments: dict[str, Any] = {
        "grid": Grid.over(tile, resolution),
        "classes": nomenclature("ben19").names,
        "nomenclature": nomenclature("ben19"),
        "exclusive": True,
        "scene": SCENE,
        "model": {"name": "made", "sha256": "0" * 64},
        "masked_scl": (3, 8, 9, 10),
    }
    return MapHeader(**{**arguments, **changes})


def made_pixels(
    header: MapHeader, *, seed: int = 0, patch: float = 14.0, nodata: bool = True
) -> NDArray[np.uint8]:
    """Probabilities uint8 (class, rows, columns): patches some ``patch`` pixels wide, speckled.

    With ``nodata`` a disc and a corner have none.
    """
    rng = np.random.default_rng(seed)
    rows, columns = header.grid.shape
    p = np.empty((len(header.classes), rows, columns), np.float32)
    for layer in p:
        coarse = rng.standard_normal((int(rows / patch) + 3, int(columns / patch) + 3))
        layer[:] = zoom(coarse, patch, order=1)[:rows, :columns] * 4
        layer += gaussian_filter(rng.standard_normal((rows, columns)), 1.0) * 2
    p = np.exp(p - p.max(axis=0))
    steps = np.round(p / p.sum(axis=0) * FULL).astype(np.uint8)
    if nodata:
        y, x = np.mgrid[:rows, :columns]
        steps[:, np.hypot(y - rows / 3, x - columns / 2) < rows / 9] = NODATA
        steps[:, x + y > 0.9 * (rows + columns)] = NODATA
    return steps


def strips(probabilities: NDArray[np.uint8], heights: Sequence[int] = (120,)) -> Iterator[MapBlock]:
    """The rows of ``probabilities`` in blocks of these heights, over and over."""
    row, turn = 0, 0
    while row < probabilities.shape[1]:
        height = heights[turn % len(heights)]
        yield MapBlock(row, 0, probabilities[:, row : row + height])
        row, turn = row + height, turn + 1


def made_pixel_map(tile: TileGrid = TILE, *, seed: int = 0, **changes: Any) -> LandCoverMap:
    """``made_pixels`` as a map in memory; ``changes``: attributes of its header."""
    header = made_header(tile, **changes)
    unlikeness = np.full(header.grid.shape, 0.5, np.float32)
    return LandCoverMap(
        header, MapBlock(0, 0, made_pixels(header, seed=seed), unlikeness=unlikeness)
    )
