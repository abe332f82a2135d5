"""Windows of a pixel network over a tile: overlapping squares whose sums of weights are one.

A pixel near a window's border has seen less of its surroundings than its neighbour in the next
window, and a border between the two would show. Windows therefore overlap by twice a margin: in
its outer part, the network's own margin, a window says nothing; in the rest it gives way to its
neighbour along a straight ramp.

Windows lie on a fixed grid that starts at the tile's corner and whose step a network's coarsest
map divides: what is said of a pixel does not depend on the strip, the batch or the area of interest
it was computed in, and neighbours see the ground on the same pixels of their coarse maps. What
reaches beyond the tile has no data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.errors import ParameterError
from geolulc.grid import TileGrid

#: Metres a side of a window: larger ones overlap less, smaller ones take less memory (a window of
#: 576 pixels a side takes 200 MB in ResNet18).
_SIDE: Final = 5760


@dataclass(frozen=True)
class WindowGrid:
    """Windows over ``tile``, cut from its upper-left corner.

    Attributes:
        tile: the ground.
        step: metres from one window to the next.
        margin: metres that a window reaches beyond its step × step square on each side.
        ramp: metres on both sides of a border over which a window gives way to its neighbour.
        pixel: metres a side of the pixels that get a class.
    """

    tile: TileGrid
    step: int
    margin: int
    ramp: int
    pixel: int = 10

    @classmethod
    def of_network(cls, tile: TileGrid, multiple: int, margin: int, pixel: int) -> WindowGrid:
        """Windows for a network whose windows are of a ``multiple`` of metres, with its margin.

        ``pixel``: metres a side of its pixels.

        Raises:
            ParameterError: they are not on the coarsest pixels of the tile.
        """
        coarsest = tile.alignment
        if multiple <= 0 or multiple % coarsest or margin < 0:
            raise ParameterError(
                "windows",
                found=f"a multiple of {multiple} m, a margin of {margin} m",
                expected=f"a multiple of {coarsest} m, a margin of 0 or more",
                remedy="Use a model that geolulc trained for pixels.",
            )
        # two margins and the step are a multiple, and so is the step
        unit = multiple // 2 if multiple % (2 * coarsest) == 0 else multiple
        whole = unit * math.ceil((margin + coarsest) / unit)
        step = multiple * max(1, (_SIDE - 2 * whole) // multiple)
        ramp = min(whole - coarsest * math.ceil(margin / coarsest), step // 2 // pixel * pixel)
        return cls(tile, step, whole, ramp, pixel)

    @property
    def side(self) -> int:
        """Metres a side of a window."""
        return self.step + 2 * self.margin

    @property
    def border(self) -> int:
        """Metres on each side of a window of which it says nothing, in whole coarsest pixels."""
        return (self.margin - self.ramp) // self.tile.alignment * self.tile.alignment

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of windows."""
        return -(-self.tile.height // self.step), -(-self.tile.width // self.step)

    def start(self, index: int) -> int:
        """Metres from the tile's corner to the windows in a row or column; negative for 0."""
        return index * self.step - self.margin

    def window(self, row: int, column: int, resolution: int) -> tuple[slice, slice]:
        """(rows, columns) in pixels of ``resolution`` metres of a window's part on the tile."""
        extents = self.tile.height, self.tile.width
        first, second = (
            slice(
                max(0, self.start(at)) // resolution,
                min(extent, self.start(at) + self.side) // resolution,
            )
            for at, extent in zip((row, column), extents, strict=True)
        )
        return first, second

    def support(self, index: int, extent: int) -> slice:
        """Pixels, from the tile's corner, of which windows at ``index`` say something."""
        start = max(0, index * self.step - self.ramp)
        end = min(extent, (index + 1) * self.step + self.ramp)
        return slice(start // self.pixel, end // self.pixel)

    @cached_property
    def _ramp_up(self) -> NDArray[np.float32]:
        count = 2 * self.ramp // self.pixel
        ramp: NDArray[np.float32] = ((np.arange(count) + 0.5) / max(1, count)).astype(np.float32)
        return ramp

    def weights(self, index: int, extent: int) -> NDArray[np.float32]:
        """Weights of the pixels in ``support``, along one side; over all windows they sum to 1."""
        part = self.support(index, extent)
        weights = np.ones(part.stop - part.start, np.float32)
        ramp = self._ramp_up
        if index > 0:
            count = min(ramp.size, weights.size)
            weights[:count] *= ramp[:count]
        if (index + 1) * self.step < extent:
            at = ((index + 1) * self.step - self.ramp) // self.pixel - part.start
            count = weights.size - at
            weights[at:] *= 1 - ramp[:count]
        return weights

    def inside(self, index: int, extent: int) -> slice:
        """Where the pixels in ``support`` lie in a window without its ``border``."""
        part = self.support(index, extent)
        offset = (self.start(index) + self.border) // self.pixel
        return slice(part.start - offset, part.stop - offset)

    def beyond(self, row: int, column: int, resolution: int) -> tuple[int, int, int, int]:
        """Pixels of a window that are not on the tile: left, right, above, below."""
        rows, columns = self.window(row, column, resolution)
        side = self.side // resolution
        above = rows.start - self.start(row) // resolution
        left = columns.start - self.start(column) // resolution
        height, width = rows.stop - rows.start, columns.stop - columns.start
        return left, side - width - left, above, side - height - above
