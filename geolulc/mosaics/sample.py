"""A mosaic with fewer cells, for pictures and pages."""

from __future__ import annotations

from typing import Final

import numpy as np

from geolulc.grid import CellGrid
from geolulc.landcover_map import LandCoverMap, MapHeader
from geolulc.mosaics.blocks import MosaicBlock

#: Cells along a side of the sample, at most: a panel of the picture has 726 pixels.
_MOST: Final = 730


class Sample:
    """Every n-th cell of a map, gathered block by block; all of them where that is few."""

    def __init__(self, header: MapHeader) -> None:
        grid = header.grid
        step = -(-max(grid.shape) // _MOST)
        self._header = header
        self._grid = CellGrid(grid.tile, grid.stride * step, grid.patch_size)
        # the middle of each step × step cells; the last few may be fewer
        self._picks = [np.minimum(np.arange(0, n, step) + step // 2, n - 1) for n in grid.shape]
        shape = tuple(len(picks) for picks in self._picks)
        self._p = np.full((len(header.classes), *shape), np.nan, np.float32)

    def add(self, block: MosaicBlock) -> None:
        """Take the block's cells that belong to the sample."""
        p = block.landcover_map.probabilities
        rows, columns = (
            np.flatnonzero((picks >= start) & (picks < start + n))
            for picks, start, n in zip(
                self._picks, (block.row, block.column), p.shape[1:], strict=True
            )
        )
        inside = np.ix_(self._picks[0][rows] - block.row, self._picks[1][columns] - block.column)
        for layer, taken in zip(self._p, p, strict=True):
            layer[np.ix_(rows, columns)] = taken[inside]

    def made(self) -> LandCoverMap:
        """The sample as a map."""
        header = self._header
        return LandCoverMap(
            grid=self._grid,
            classes=header.classes,
            nomenclature=header.nomenclature,
            probabilities=self._p,
            valid=np.full(self._grid.shape, np.nan, np.float32),
            thresholds=header.thresholds,
            scene=header.scene,
            model=header.model,
        )
