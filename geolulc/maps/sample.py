"""A map seen from afar: cells at regular steps, for pictures and pages."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.grid import Grid
from geolulc.maps.encoding import ENCODINGS
from geolulc.maps.header import LandCoverMap, MapBlock, MapHeader
from geolulc.maps.ranking import doubt

#: At most so many cells along a side; a panel of the picture has 726 pixels.
_MOST: Final = 800


class Sample:
    """One cell of every square of ``step`` × ``step``, kept while blocks pass."""

    def __init__(self, header: MapHeader) -> None:
        step = -(-max(header.grid.shape) // _MOST)
        grid = Grid(header.grid.extent, header.grid.cell * step, header.grid.tile)
        self._header = replace(header, grid=grid)
        # the middle of each square; the last few may be smaller
        self._picks = [
            np.minimum(np.arange(0, n, step) + step // 2, n - 1) for n in header.grid.shape
        ]
        self._kept: NDArray[np.float32] | NDArray[np.uint8] | None = None

    def add(self, block: MapBlock) -> None:
        """Keep the block's cells that belong to the sample."""
        p = block.probabilities
        if self._kept is None:
            shape = len(p), *(len(picks) for picks in self._picks)
            self._kept = np.full(shape, ENCODINGS[p.dtype.name].nodata, p.dtype)
        starts = block.row, block.column
        inside = [
            np.flatnonzero((picks >= start) & (picks < start + n))
            for picks, start, n in zip(self._picks, starts, block.shape, strict=True)
        ]
        taken = np.ix_(
            *(
                picks[at] - start
                for picks, at, start in zip(self._picks, inside, starts, strict=True)
            )
        )
        for kept, layer in zip(self._kept, p, strict=True):
            kept[np.ix_(*inside)] = layer[taken]

    @property
    def map(self) -> LandCoverMap:
        """The cells of the sample as a map of float32 probabilities, of larger cells."""
        kept = self._kept
        if kept is None:
            shape = len(self._header.classes), *self._header.grid.shape
            kept = np.full(shape, np.nan, np.float32)
        return LandCoverMap(self._header, MapBlock(0, 0, ENCODINGS[kept.dtype.name].decode(kept)))

    @property
    def mean_entropy(self) -> float:
        """Mean doubt about the cells of the sample that have data; 0 without any."""
        shares = self.map.block.shares
        found = doubt(self._header, shares)
        known = found[np.isfinite(found)]
        return float(known.mean(dtype=np.float64)) if known.size else 0.0
