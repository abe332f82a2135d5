"""Written maps of both kinds, and what their files should say: for tests of all that reads maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from made_map import made_map
from made_pixel_map import made_header, made_pixels, strips
from numpy.typing import NDArray

from geolulc.grid import Grid
from geolulc.maps.areas import ground_areas
from geolulc.maps.encoding import ENCODINGS, NODATA
from geolulc.maps.header import MapBlock, MapHeader
from geolulc.outputs.options import OutputOptions
from geolulc.outputs.story import SceneStory
from geolulc.outputs.writing import write_map

#: The kinds of maps.
KINDS = ("cells", "pixels")


@dataclass(frozen=True)
class WrittenMap:
    """A map.tif, and the map in it: probabilities float32 (class, rows, columns)."""

    path: Path
    header: MapHeader
    probabilities: NDArray[np.float32]

    @property
    def mapped(self) -> NDArray[np.bool_]:
        """Cells that have data."""
        return np.asarray(np.isfinite(self.probabilities[0]))

    @property
    def index(self) -> NDArray[np.intp]:
        """Position of the most probable class; -1 for no data."""
        p = np.where(self.mapped, self.probabilities, -1)
        return np.where(self.mapped, p.argmax(axis=0), -1)

    @property
    def codes(self) -> NDArray[np.int64]:
        """Code of the most probable class; 0 for no data."""
        return np.where(self.mapped, self.header.codes[self.index], 0).astype(np.int64)

    @property
    def areas(self) -> NDArray[np.float64]:
        """Hectares of the cells."""
        return ground_areas(self.header.grid, self.header.unit.areas)


def write_made(
    kind: str,
    path: Path,
    *,
    seed: int = 0,
    nodata: bool = True,
    hole: int = 0,
    outputs: tuple[str, ...] = (),
    dtype: str = "float32",
    **changes: Any,
) -> WrittenMap:
    """Write a made map and read nothing back.

    Args:
        kind: of ``KINDS``.
        path: its map.tif.
        seed: maps of different seeds differ.
        nodata: some cells have no data.
        hole: metres of a square in the upper-left corner that has no data.
        outputs: in addition to map.tif.
        dtype: of the probabilities of cells.
        changes: arguments of ``made_map``, or of ``made_header``; pixels are of 20 m by default.
    """
    if kind == "cells":
        made = made_map(seed=seed, nodata=0.1 if nodata else 0.0, **changes)
        header, p = made.header, made.block.shares
        p[:, : hole // header.grid.cell, : hole // header.grid.cell] = np.nan
        blocks = [MapBlock(0, 0, p, made.block.valid, made.block.clear)]
        shares = ENCODINGS[dtype].decode(ENCODINGS[dtype].encode(p))
    else:
        header = made_header(**{"resolution": 20, **changes})
        steps = _steps(header.grid, seed, nodata).copy()
        steps[:, : hole // header.grid.cell, : hole // header.grid.cell] = NODATA
        blocks = list(strips(steps))
        shares = ENCODINGS["uint8"].decode(steps)
    main = "probabilities" if kind == "cells" else "classes"
    options = OutputOptions((main, *outputs), dtype=dtype)
    write_map(header, blocks, path, story=SceneStory(), options=options)
    return WrittenMap(path, header, shares)


@lru_cache(maxsize=8)  # they take longer to make than to write
def _steps(grid: Grid, seed: int, nodata: bool) -> NDArray[np.uint8]:
    return made_pixels(made_header(grid=grid), seed=seed, patch=40, nodata=nodata)


def change_tags(path: Path, tags: Mapping[str, str]) -> None:
    """Change tags of a written raster."""
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(**tags)
