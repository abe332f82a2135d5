"""A mosaic block by block: only the maps that reach a block are read, and only there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.landcover_map import LandCoverMap, MapHeader
from geolulc.mosaics.combination import Combined, combine, weighted_mean
from geolulc.mosaics.grids import MosaicGrid
from geolulc.mosaics.observation_file import ObservationFile
from geolulc.mosaics.options import MosaicOptions
from geolulc.mosaics.reach import Reach, part_of
from geolulc.mosaics.sources import MapSource
from geolulc.mosaics.windows import MapWindows, Observation

#: Cells along a block, which is a block of the files too.
BLOCK: Final = 256
#: Bytes that the observations of a strip of a block take at most; a median sorts copies of them.
_BUDGET: Final = 96 * 2**20
#: Patches whose offsets from the cell's centre differ by fewer metres are equally near.
_NEARNESS: Final = 1.0


@dataclass(frozen=True)
class MosaicBlock:
    """A part of a mosaic.

    Attributes:
        row: of its first cell, in the mosaic.
        column: the same.
        landcover_map: its cells; valid and clear are weighted means over what was used.
        count: uint16 (rows, columns): observations that were used.
        confidence: float32 (class, rows, columns), as in ``combination``.
    """

    row: int
    column: int
    landcover_map: LandCoverMap
    count: NDArray[np.uint16]
    confidence: NDArray[np.float32]


class Mosaic:
    """The maps and the grid they are combined on."""

    def __init__(
        self,
        sources: Sequence[MapSource],
        grid: MosaicGrid,
        header: MapHeader,
        options: MosaicOptions,
    ) -> None:
        """``header.grid`` is ``grid.cells``."""
        self.header = header
        self._grid, self._options = grid, options
        self._reach = Reach(sources, grid.cells)
        self._clear = any(s.quality is not None for s in sources)

    def places(self) -> list[tuple[int, int]]:
        """(row, column) of the first cell of each block that a map reaches, row by row."""
        return self._reach.places(BLOCK)

    def blocks(self, scratch: Path) -> Iterator[MosaicBlock]:
        """The blocks of ``places``.

        Args:
            scratch: a folder with room for the observations of a block, where they are many.

        Raises:
            OutputError: a map is damaged.
        """
        with MapWindows(self.header.classes, copied=self._grid.copied) as windows:
            for row, column in self.places():
                yield self._block(windows, row, column, scratch)

    def _block(self, windows: MapWindows, row: int, column: int, scratch: Path) -> MosaicBlock:
        whole = part_of(self._grid.cells, row, column, BLOCK, BLOCK)
        reaching = self._reach.sources(whole)
        rows, columns = whole.shape
        classes = len(self.header.classes)
        # float32, and for a median its order, sorted values and weights beside it
        bytes_each = 40 if self._options.combine == "median" else 12
        high = max(1, _BUDGET // (len(reaching) * classes * columns * bytes_each))
        # each map is read once a block, however few rows are combined at a time
        found = (windows.observe(source, whole) for source in reaching)
        observations = (observation for observation in found if observation is not None)
        if high >= rows:
            strips = [self._combined(list(observations), (rows, columns))]
        else:
            with ObservationFile(scratch, (classes, rows, columns)) as kept:
                for observation in observations:
                    kept.add(observation)
                ends = [(start, min(start + high, rows)) for start in range(0, rows, high)]
                strips = [
                    self._combined(kept.rows(start, end), (end - start, columns))
                    for start, end in ends
                ]
        combined, valid, clear = zip(*strips, strict=True)
        header = self.header
        made = LandCoverMap(
            grid=whole,
            classes=header.classes,
            nomenclature=header.nomenclature,
            probabilities=np.concatenate([c.probabilities for c in combined], axis=1),
            valid=np.concatenate(valid),
            clear=np.concatenate(clear) if self._clear else None,
            thresholds=header.thresholds,
            scene=header.scene,
            model=header.model,
        )
        return MosaicBlock(
            row,
            column,
            made,
            np.concatenate([c.count for c in combined]),
            np.concatenate([c.confidence for c in combined], axis=1),
        )

    def _combined(
        self, observations: Sequence[Observation], shape: tuple[int, int]
    ) -> tuple[Combined, NDArray[np.float32], NDArray[np.float32]]:
        """The cells of some rows, (rows, columns), with their valid and clear shares."""
        if not observations:
            nothing = np.full(shape, np.nan, np.float32)
            p = np.broadcast_to(nothing, (len(self.header.classes), *shape))
            return Combined(p, p, np.zeros(shape, np.uint16)), nothing, nothing
        weights = _weights(observations, self._options.least_weight)
        combined = combine(self._options.combine, np.stack([o.p for o in observations]), weights)
        valid, clear = (
            weighted_mean(np.stack([getattr(o, name) for o in observations]), weights)
            for name in ("valid", "clear")
        )
        return combined, valid, clear


def _weights(observations: Sequence[Observation], least: float) -> NDArray[np.float32]:
    """What each observation weighs in each cell.

    At its edge a tile's patches are moved inside, off the centres of their cells, and see other
    ground than their neighbours': only the observations that are nearest to the centre count.
    """
    weights = np.stack([o.weight for o in observations])
    weights = np.where(weights >= least, weights, np.float32(0))
    offset = np.where(weights > 0, np.stack([o.offset for o in observations]), np.inf)
    return np.where(offset <= offset.min(axis=0) + _NEARNESS, weights, np.float32(0))
