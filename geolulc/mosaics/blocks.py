"""A mosaic block by block: only the maps that reach a block are read, and only there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from geolulc.grid import Grid
from geolulc.maps.header import MapBlock, MapHeader, join_rows
from geolulc.mosaics.combination import combine_cells, combine_pixels
from geolulc.mosaics.grids import MosaicGrid, projected_bounds, whole_bounds
from geolulc.mosaics.observation_file import ObservationFile
from geolulc.mosaics.observations import Observation
from geolulc.mosaics.options import MosaicOptions
from geolulc.mosaics.sources import MapSource
from geolulc.mosaics.windows import MapWindows
from geolulc.progress import Progress

#: Cells along a block, by whether they are pixels.
BLOCKS: Final[Mapping[bool, int]] = MappingProxyType({False: 256, True: 512})
#: Bytes that the observations of a block take in memory at most, where they are needed together;
#: and once more those of the strip that is being combined.
_BUDGET: Final = 48 * 2**20
#: Bytes of a probability, as float32; and with what combining it takes beside it. A median has an
#: order, sorted values, weights and their sums.
_HELD, _COMBINED, _SORTED = 4, 12, 40


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
        self._copied, self._options = grid.copied, options
        # "latest" wants them by time; equal times by name, so that runs agree
        self._sources = sorted(sources, key=lambda s: (s.time, s.path.name))
        crs = header.grid.extent.crs
        grids = [s.header.grid for s in self._sources]
        self._boxes = np.array(
            [projected_bounds(g.extent.crs, crs, whole_bounds(g)) for g in grids]
        )
        self._shares = any(s.has_shares for s in sources)

    def places(self) -> list[tuple[int, int]]:
        """(row, column) of the first cell of each block that a map reaches, row by row."""
        rows, columns = self.header.grid.shape
        side = BLOCKS[self.header.exclusive]
        return [
            (row, column)
            for row in range(0, rows, side)
            for column in range(0, columns, side)
            if self._reaching(self.header.grid.part(row, column, side, side))
        ]

    def blocks(self, scratch: Path, progress: Progress | None = None) -> Iterator[MapBlock]:
        """The blocks of ``places``.

        Args:
            scratch: a folder with room for the observations of a block, where they are many.
            progress: called once a block has been taken.

        Raises:
            OutputError: a map is damaged.
        """
        places = self.places()
        side = BLOCKS[self.header.exclusive]
        with MapWindows(self.header, copied=self._copied) as windows:
            for done, (row, column) in enumerate(places, start=1):
                cells = self.header.grid.part(row, column, side, side)
                block = join_rows(list(self._strips(windows, cells, scratch)))
                yield replace(block, row=row, column=column)
                if progress is not None:
                    progress(done, len(places))

    def _reaching(self, part: Grid) -> list[MapSource]:
        """The maps that reach a part of the mosaic, from the earliest to the latest."""
        left, bottom, right, top = whole_bounds(part)
        west, south, east, north = self._boxes.T
        inside = (west < right) & (east > left) & (south < top) & (north > bottom)
        return [self._sources[i] for i in np.flatnonzero(inside)]

    def _strips(self, windows: MapWindows, cells: Grid, scratch: Path) -> Iterator[MapBlock]:
        """The combined cells of a block, some rows at a time; each map is read once."""
        reaching = self._reaching(cells)
        found = (windows.observe(source, cells) for source in reaching)
        observations = (observation for observation in found if observation is not None)
        rows, columns = cells.shape
        classes, how = len(self.header.classes), self._options.combine
        if self.header.exclusive and how != "median":
            yield combine_pixels(how, observations, classes, (rows, columns))
            return
        each_row = len(reaching) * classes * columns
        high = max(1, _BUDGET // (each_row * (_SORTED if how == "median" else _COMBINED)))
        with ExitStack() as stack:
            held: Sequence[Observation] | ObservationFile
            if each_row * rows * _HELD <= _BUDGET:
                held = list(observations)
            else:
                held = stack.enter_context(ObservationFile(scratch))
                for observation in observations:
                    held.add(observation)
            for first in range(0, rows, high):
                last = min(first + high, rows)
                if isinstance(held, ObservationFile):
                    strip = held.rows(first, last)
                else:
                    strip = [observation.rows(first, last) for observation in held]
                yield self._combined(strip, (last - first, columns))

    def _combined(self, strip: Sequence[Observation], shape: tuple[int, int]) -> MapBlock:
        """The cells of a strip, (rows, columns), from all its observations."""
        classes, options = len(self.header.classes), self._options
        if self.header.exclusive:
            return combine_pixels(options.combine, strip, classes, shape)
        block = combine_cells(options.combine, strip, options.least_weight, classes, shape)
        if self.header.fractions:  # medians and maxima of fractions do not add up to 1
            p = block.shares
            block = replace(block, probabilities=p / p.sum(axis=0))
        # in all blocks or in none: they are those of one map
        return block if self._shares else replace(block, clear=None)
