"""Pixels as the cells of a map.

What it does not share with ``cells``: its windows overlap and their answers are added up, where a
cell of patches has one window of its own, and rows of pixels are complete at other places than
rows of windows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.domain import patch_means
from geolulc.mapping.area import Area
from geolulc.mapping.canvas import Canvas
from geolulc.mapping.cells import Task, pixel_lines
from geolulc.mapping.options import MapOptions
from geolulc.mapping.quality import clear_pixels, valid_pixels
from geolulc.mapping.strips import Strip
from geolulc.mapping.window_inference import ONE, WindowEnsemble, cut
from geolulc.maps.encoding import FULL, NODATA
from geolulc.maps.header import MapBlock, MapHeader
from geolulc.products import CLASSIFICATION, Scene

#: Steps of a sum of pixels that are one step of a map's probabilities.
_STEP: Final = ONE // FULL
#: Of a pixel's windows, whose weights add up to one: beyond what rounding takes.
_FULL_SUM: Final = 0.99
#: Rows of pixels that leave at once, about: 10 MB of a tile with 19 classes.
_ROWS: Final = 24
#: Of a map whose model saw a computed top of the atmosphere.
_COMPUTED: Final = {"input": "top of the atmosphere, computed from Level-2A"}


class PixelCells:
    """The pixels of a pixel model, from overlapping windows whose weights add up to one."""

    #: Enough to do while the rows above are ranked and written; 10 MB a window.
    ahead = 3

    def __init__(
        self, ensemble: WindowEnsemble, scene: Scene, options: MapOptions, *, batch_size: int
    ) -> None:
        self._ensemble, self._options, self._batch_size = ensemble, options, batch_size
        self.bands = ensemble.bands
        #: Metres a side of the squares whose spectra are compared: of the training's patches.
        self._square = ensemble.patch_size
        self.windows = ensemble.windows(scene.grid)
        atmosphere = ensemble.atmosphere_over(scene)
        self._air = None if atmosphere is None else atmosphere.bands
        self._area = Area.of(scene.grid, options.aoi)
        self.selected = self._area.select(self.windows)
        #: Metres a side of the model's pixels; those of the map are as large, or larger.
        self._pixel = pixel = self.windows.pixel
        unit = scene.grid.alignment // pixel
        self._together = unit * max(1, _ROWS // unit)
        grid = self._area.grid(options.resolution or pixel)
        self.header = MapHeader(
            grid=grid,
            classes=ensemble.classes,
            nomenclature=ensemble.nomenclature,
            exclusive=True,
            scene={**scene.facts, **({} if atmosphere is None else {"air": atmosphere.words})},
            model=ensemble.origin if atmosphere is None else {**ensemble.origin, **_COMPUTED},
            masked_scl=options.mask_scl if CLASSIFICATION in scene.images else (),
        )
        self._offsets = ensemble.offsets(scene.offsets)
        top, left = (metres // pixel for metres in grid.inset)
        #: The map's rows and columns of the model's pixels, from the tile's corner.
        self._rows = slice(top, top + grid.extent.height // pixel)
        self._columns = slice(left, left + grid.extent.width // pixel)
        self._factor = grid.cell // pixel
        rows = (self.windows.step + 2 * self.windows.ramp) // pixel
        shape = len(ensemble.classes), rows, self._columns.stop - left
        self._canvas = Canvas(shape, np.uint16, weighted=False)
        #: Of the rows of windows under way: first row of pixels, and the usable pixels from it on.
        self._usable: deque[tuple[int, NDArray[np.bool_]]] = deque()
        #: First row of pixels that has not left yet.
        self._next = top
        self._spectra = ensemble.spectra
        #: Of squares as large as the patches of the training; NaN where not all rows were seen.
        self._unlikeness: NDArray[np.float32] | None = None
        squares = scene.grid.height // self._square, scene.grid.width // self._square
        if self._spectra is not None and min(squares):  # a small scene has none
            self._unlikeness = np.full(squares, np.nan, np.float32)
            self._shift = np.array([scene.offsets[name] for name in self._spectra.bands])

    def groups(self, rows: Sequence[int]) -> list[list[int]]:
        """Each row by itself."""
        return [[row] for row in rows]

    def tasks(self, rows: Sequence[int], strip: Strip) -> Iterator[Task]:
        """Batches of the windows of a row that have a usable pixel."""
        (row,) = rows
        tile = self.windows.tile
        support = self.windows.support(row, tile.height)
        usable = self._usable_pixels(row, strip)
        self._usable.append((support.start, usable))
        self._compare_spectra(row, strip)
        touched = np.atleast_1d(usable.any(axis=0))
        columns = [
            int(column)
            for column in np.flatnonzero(self.selected[row])
            if touched[self.windows.support(int(column), tile.width)].any()
        ]
        for start in range(0, len(columns), self._batch_size):
            batch = columns[start : start + self._batch_size]
            windows = [cut(strip.dn, self.windows, row, column) for column in batch]
            work = partial(
                self._ensemble.weighted, windows, self._offsets, self.windows, row, batch, self._air
            )
            yield Task(partial(self._place, row, batch), work)
        end = support.stop
        if (row + 1) * self.windows.step < tile.height:
            end = ((row + 1) * self.windows.step - self.windows.ramp) // self._pixel
        yield Task(complete=end)

    def _compare_spectra(self, row: int, strip: Strip) -> None:
        """Compare the squares that lie in a strip with what the model learned from."""
        if self._spectra is None or self._unlikeness is None:
            return
        top = max(0, self.windows.start(row))
        bottom = top + strip.dn[self._pixel].shape[1] * self._pixel
        lefts = np.arange(self._unlikeness.shape[1]) * self._square
        for square in range(-(-top // self._square), bottom // self._square):
            at = square * self._square - top
            part = {r: dn[:, pixel_lines(at, self._square, r)] for r, dn in strip.dn.items()}
            names = self._spectra.bands
            means = patch_means(part, self.bands, names, lefts, self._square) + self._shift
            self._unlikeness[square] = self._spectra.unlikeness(np.maximum(means, 0))

    def _unlikeness_of(self, start: int, rows: int) -> NDArray[np.float32] | None:
        """How unlike the training the squares of some rows of pixels are, by pixel."""
        if self._unlikeness is None:
            return None
        each = self._factor * np.arange(max(rows, self.header.grid.shape[1]))
        down, across = (
            np.minimum((first + each[:count]) * self._pixel // self._square, most - 1)
            for first, count, most in zip(
                (start, self._columns.start),
                (rows, self.header.grid.shape[1]),
                self._unlikeness.shape,
                strict=True,
            )
        )
        found: NDArray[np.float32] = self._unlikeness[down[:, None], across]
        return found

    def _usable_pixels(self, row: int, strip: Strip) -> NDArray[np.bool_]:
        """The model's pixels in the support of a row of windows that have data and are clear."""
        usable = valid_pixels(strip.dn)
        if strip.scl is not None:
            usable &= clear_pixels(strip, self._options.mask_scl, self._pixel)
        top = self.windows.window(row, 0, self._pixel)[0].start
        support = self.windows.support(row, self.windows.tile.height)
        return usable[support.start - top : support.stop - top]

    def _place(self, row: int, columns: Sequence[int], parts: Sequence[NDArray[np.uint16]]) -> None:
        """Add what windows of a row say of the pixels in their support."""
        tile, shown = self.windows.tile, self._columns
        first = self.windows.support(row, tile.height).start
        self._canvas.move(first)
        for column, part in zip(columns, parts, strict=True):
            support = self.windows.support(column, tile.width)
            left, right = max(support.start, shown.start), min(support.stop, shown.stop)
            if left < right:
                inside = part[:, :, left - support.start : right - support.start]
                self._canvas.add(first, left - shown.start, inside)

    def leave(self, complete: int | None, *, shares: bool) -> Iterator[MapBlock]:
        """Rows of pixels; ``complete`` counts those of the model from the tile's corner."""
        if complete is None:
            yield from self._empty(self._rows.stop, shares=shares)
            return
        first, usable = self._usable.popleft()
        self._canvas.move(first)
        yield from self._empty(min(first, self._rows.stop), shares=shares)
        end = min(complete, self._rows.stop)
        for start in range(max(first, self._next), end, self._together):
            stop = min(start + self._together, end)
            mask = usable[start - first : stop - first, self._columns]
            yield self._block(start, self._canvas.sums(start, stop), mask, shares=shares)
            self._next = stop

    def _empty(self, end: int, *, shares: bool) -> Iterator[MapBlock]:
        """Rows without data, down to ``end``."""
        columns = self._columns.stop - self._columns.start
        while self._next < end:
            stop = min(self._next + self._together, end)
            nothing = np.zeros((len(self.header.classes), stop - self._next, columns), np.uint16)
            mask = np.zeros(nothing.shape[1:], bool)
            yield self._block(self._next, nothing, mask, shares=shares)
            self._next = stop

    def _block(
        self, start: int, sums: NDArray[Any], mask: NDArray[np.bool_], *, shares: bool
    ) -> MapBlock:
        """Rows from ``start`` on, from sums in steps of ``ONE`` and the pixels that have data."""
        row = (start - self._rows.start) // self._factor
        if self._factor > 1:
            sums, mask = _coarser(sums, mask, self._factor, self._options.min_valid)
        mask = mask & self._area.mask(self.header.grid, row, row + mask.shape[0])
        overflown = 0
        if self._ensemble.overflows:
            # of a pixel, a window that said nothing leaves a part of the sum out
            full = sums.sum(axis=0, dtype=np.float32) > _FULL_SUM * ONE
            overflown = int((mask & ~full).sum())
            mask = mask & full
        unlike = self._unlikeness_of(start, mask.shape[0])
        if shares:
            share = sums * np.float32(1 / ONE)
            share[:, ~mask] = np.nan
            return MapBlock(row, 0, share, unlikeness=unlike, overflown=overflown)
        if sums.dtype == np.uint16:
            steps = sums + np.uint16(_STEP // 2)
            steps //= np.uint16(_STEP)
            codes = steps.astype(np.uint8)
        else:
            codes = np.rint(sums * np.float32(1 / _STEP)).astype(np.uint8)
        if not mask.all():
            codes[:, ~mask] = NODATA
        return MapBlock(row, 0, codes, unlikeness=unlike, overflown=overflown)


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
