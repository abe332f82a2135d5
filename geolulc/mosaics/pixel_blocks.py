"""A mosaic of pixels block by block: only the maps that reach a block are read, and only there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.grid import CellGrid
from geolulc.mosaics.grids import MosaicGrid
from geolulc.mosaics.options import MosaicOptions
from geolulc.mosaics.pixel_combination import Combined, combine_pixels
from geolulc.mosaics.pixel_sources import PixelSource
from geolulc.mosaics.pixel_windows import PixelWindows
from geolulc.mosaics.reach import Reach, part_of
from geolulc.pixel_map import PixelMapHeader

#: Pixels along a block: one of the maps' files, where they lie on the mosaic's grid.
BLOCK: Final = 512
#: Bytes that the observations of a strip of a block take, where a median needs all of them.
_BUDGET: Final = 96 * 2**20


@dataclass(frozen=True)
class PixelBlock:
    """A part of a mosaic.

    Attributes:
        row: of its first pixel, in the mosaic.
        column: the same.
        probabilities: uint8 (class, rows, columns), as in ``PixelStrip``.
        count: uint16 (rows, columns): observations that were used.
    """

    row: int
    column: int
    probabilities: NDArray[np.uint8]
    count: NDArray[np.uint16]


class PixelMosaic:
    """The maps of pixels and the grid they are combined on."""

    def __init__(
        self,
        sources: Sequence[PixelSource],
        grid: MosaicGrid,
        header: PixelMapHeader,
        options: MosaicOptions,
    ) -> None:
        """``header.grid`` has the pixels of ``grid.cells``."""
        self.header = header
        self._grid, self._options = grid, options
        self._reach = Reach(sources, grid.cells)

    def places(self) -> list[tuple[int, int]]:
        """(row, column) of the first pixel of each block that a map reaches, row by row."""
        return self._reach.places(BLOCK)

    def blocks(self) -> Iterator[PixelBlock]:
        """The blocks of ``places``.

        Raises:
            OutputError: a map is damaged.
        """
        with PixelWindows(self.header.classes, copied=self._grid.copied) as windows:
            for row, column in self.places():
                whole = part_of(self._grid.cells, row, column, BLOCK, BLOCK)
                made = [self._strip(windows, strip) for strip in self._strips(whole)]
                steps, count = made[0] if len(made) == 1 else _joined(made)
                yield PixelBlock(row, column, steps, count)

    def _strips(self, block: CellGrid) -> Iterator[CellGrid]:
        """``block`` in parts whose observations can be held together, where that is needed."""
        rows, columns = block.shape
        high = rows
        if self._options.combine == "median":
            each = len(self.header.classes) * columns * 4 * len(self._reach.sources(block))
            high = max(1, _BUDGET // each)
        for row in range(0, rows, high):
            yield part_of(block, row, 0, high, columns)

    def _strip(self, windows: PixelWindows, part: CellGrid) -> Combined:
        found = (windows.observe(source, part) for source in self._reach.sources(part))
        return combine_pixels(
            self._options.combine,
            (observation for observation in found if observation is not None),
            len(self.header.classes),
            part.shape,
        )


def _joined(strips: Sequence[Combined]) -> Combined:
    return (
        np.concatenate([steps for steps, _ in strips], axis=1),
        np.concatenate([count for _, count in strips]),
    )
