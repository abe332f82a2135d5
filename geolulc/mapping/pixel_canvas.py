"""Where windows of a row add up, until their rows are complete and leave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.mapping.pixel_area import PixelArea
from geolulc.mapping.pixel_inference import ONE
from geolulc.mapping.pixel_windows import WindowGrid
from geolulc.pixel_map import FULL, NODATA, PIXEL_SIZES, PixelMapHeader

_PIXEL: Final = PIXEL_SIZES[0]
#: Steps of a sum that are one step of a map's probabilities.
_STEP: Final = ONE // FULL
#: Rows of 10 m that leave at once, a multiple of 6: 10 MB of a tile with 19 classes.
_ROWS: Final = 24


@dataclass(frozen=True)
class Rows:
    """Some whole rows of a map, complete.

    Attributes:
        row: the first.
        sums: (classes, rows, columns): uint16 in steps of ``ONE``, or float32 means of them.
        mapped: bool (rows, columns): pixels that have data; the others' sums mean nothing.
    """

    row: int
    sums: NDArray[np.uint16] | NDArray[np.float32]
    mapped: NDArray[np.bool_]

    def probabilities(self) -> NDArray[np.float32]:
        """float32 (classes, rows, columns), NaN where there is no data."""
        share = self.sums * np.float32(1 / ONE)
        share[:, ~self.mapped] = np.nan
        return share

    def codes(self) -> NDArray[np.uint8]:
        """Probabilities in steps of 1 / ``FULL``, ``NODATA`` where there is no data."""
        if self.sums.dtype == np.uint16:
            steps = self.sums + np.uint16(_STEP // 2)
            steps //= np.uint16(_STEP)
            codes = steps.astype(np.uint8)
        else:
            codes = np.rint(self.sums * np.float32(1 / _STEP)).astype(np.uint8)
        if not self.mapped.all():
            codes[:, ~self.mapped] = NODATA
        return codes


class Canvas:
    """Sums of one row of windows, in steps of ``ONE``, over the map's columns.

    The pixels that the next row of windows will add to stay until it has. Sums are whole numbers:
    in which order windows come does not show.
    """

    def __init__(
        self, header: PixelMapHeader, windows: WindowGrid, area: PixelArea, min_valid: float
    ) -> None:
        self._header, self._windows, self._area = header, windows, area
        self._min_valid = min_valid
        grid = header.grid
        self._left, self._right = grid.left // _PIXEL, (grid.left + grid.width) // _PIXEL
        self._top, self._bottom = grid.top // _PIXEL, (grid.top + grid.height) // _PIXEL
        rows = (windows.step + 2 * windows.ramp) // _PIXEL
        shape = len(header.classes), rows, self._right - self._left
        self._sums = np.zeros(shape, np.uint16)
        #: First row (of 10 m, from the tile's top) that the sums hold.
        self._first = 0
        #: First row that has not left yet.
        self._next = self._top

    def add(self, row: int, column: int, part: NDArray[np.uint16]) -> None:
        """Add what the window at ``row`` and ``column`` says of the pixels in its support."""
        tile = self._windows.tile
        rows = self._windows.support(row, tile.height)
        columns = self._windows.support(column, tile.width)
        self._move(rows.start)
        left, right = max(columns.start, self._left), min(columns.stop, self._right)
        if left < right:
            self._sums[:, : rows.stop - rows.start, left - self._left : right - self._left] += part[
                :, :, left - columns.start : right - columns.start
            ]

    def finish(self, row: int, usable: NDArray[np.bool_]) -> Iterator[Rows]:
        """The rows that are complete when all windows of ``row`` have been added.

        Args:
            row: of windows.
            usable: pixels of 10 m in its support, over the tile's width, that get a class.
        """
        tile = self._windows.tile
        support = self._windows.support(row, tile.height)
        self._move(support.start)
        end = support.stop
        if (row + 1) * self._windows.step < tile.height:
            end = ((row + 1) * self._windows.step - self._windows.ramp) // _PIXEL
        yield from self._empty(min(support.start, self._bottom))
        first, last = max(support.start, self._next), min(end, self._bottom)
        for start in range(first, last, _ROWS):
            stop = min(start + _ROWS, last)
            part = self._sums[:, start - self._first : stop - self._first]
            mask = usable[start - support.start : stop - support.start, self._left : self._right]
            yield self._strip(start, part, mask)
            self._next = stop

    def rest(self) -> Iterator[Rows]:
        """The rows below the last windows: they have no data."""
        yield from self._empty(self._bottom)

    def _move(self, first: int) -> None:
        """Let the sums begin with the row ``first``; what is above has left."""
        if first == self._first:
            return
        sums, moved = self._sums, first - self._first
        kept = max(0, sums.shape[1] - moved)
        sums[:, :kept] = sums[:, sums.shape[1] - kept :].copy()
        sums[:, kept:] = 0
        self._first = first

    def _strip(self, start: int, part: NDArray[np.uint16], mask: NDArray[np.bool_]) -> Rows:
        factor = self._header.grid.resolution // _PIXEL
        row = (start - self._top) // factor
        sums: NDArray[np.uint16] | NDArray[np.float32] = part
        if factor > 1:
            sums, mask = _coarser(part, mask, factor, self._min_valid)
        return Rows(row, sums, mask & self._area.mask(self._header.grid, row, row + mask.shape[0]))

    def _empty(self, end: int) -> Iterator[Rows]:
        """Rows without data, down to ``end``."""
        factor = self._header.grid.resolution // _PIXEL
        shape = len(self._header.classes), self._header.grid.shape[1]
        while self._next < end:
            stop = min(self._next + _ROWS, end)
            rows = (stop - self._next) // factor
            nothing = np.zeros((shape[0], rows, shape[1]), np.uint16)
            mapped = np.zeros(nothing.shape[1:], bool)
            yield Rows((self._next - self._top) // factor, nothing, mapped)
            self._next = stop


def _coarser(
    part: NDArray[np.uint16], mask: NDArray[np.bool_], factor: int, min_valid: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Means over the usable ones of factor × factor pixels, and where enough of them are."""
    rows, columns = part.shape[1:]
    blocks = rows // factor, factor, columns // factor, factor
    weights = mask.reshape(blocks).astype(np.float32)
    counts = weights.sum(axis=(1, 3))
    sums = np.stack([(layer.reshape(blocks) * weights).sum(axis=(1, 3)) for layer in part])
    enough = (counts > 0) & (counts >= min_valid * factor**2)
    means: NDArray[np.float32] = sums / np.maximum(counts, 1)
    return means, enough
