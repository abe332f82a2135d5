"""Resampling of layers from one grid to another."""

from __future__ import annotations

from typing import Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from geolulc.grid import Grid

#: From this many source cells along a cell on, the cells inside it are averaged.
_COARSER: Final = 2
#: Cells by which a position may be wrong; GDAL approximates between exact ones as far as that.
_EXACT: Final = 1e-9


def warped(
    layers: NDArray[np.float32], grid: Grid, row: int, column: int, block: Grid
) -> NDArray[np.float32]:
    """Layers of cells of ``grid`` on the cells of ``block``, by GDAL's warper; 0 beyond them.

    Bilinear, or the average of the cells inside where those of ``block`` are at least twice as
    large.

    Args:
        layers: float32 (layer, rows, columns).
        grid: the grid of the layers' cells.
        row, column: of their first cell in ``grid``; it may lie outside.
        block: the grid of the result.
    """
    rows, columns = block.shape
    ratio = grid.cell / block.cell
    coarser = block.cell >= _COARSER * grid.cell
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=len(layers),
            height=layers.shape[1],
            width=layers.shape[2],
            dtype="float32",
            crs=grid.extent.crs,
            transform=grid.transform @ rasterio.Affine.translation(column, row),
            interleave="band",
        ) as dataset:
            dataset.write(layers)
        with (
            memory.open(driver="GTiff") as dataset,
            WarpedVRT(
                dataset,
                crs=block.extent.crs,
                transform=block.transform,
                height=rows,
                width=columns,
                resampling=Resampling.average if coarser else Resampling.bilinear,
                # exact positions and one scale, so that a cell's value does not depend on its
                # block; rasterio.warp.reproject takes no tolerance
                tolerance=_EXACT,
                XSCALE=ratio,
                YSCALE=ratio,
            ) as vrt,
        ):
            return np.asarray(vrt.read(), np.float32)
