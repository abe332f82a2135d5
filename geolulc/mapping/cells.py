"""How answers for windows become cells of a map: a cell a patch, cells inside patches, pixels.

``Run`` decodes a scene and has windows computed; what differs between maps is here: the windows,
the cells that each says something of, and when rows of cells are complete.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.domain import patch_means
from geolulc.grid import PIXEL_SIZES, Grid, MapGrid
from geolulc.mapping.area import Area, select_cells
from geolulc.mapping.canvas import Canvas
from geolulc.mapping.inference import Ensemble, NetworkStrip
from geolulc.mapping.options import MapOptions
from geolulc.mapping.quality import clear_pixels, clear_share, valid_pixels, valid_share
from geolulc.mapping.strips import Strip
from geolulc.mapping.window_inference import ONE, WindowEnsemble, cut
from geolulc.maps.encoding import FULL, NODATA
from geolulc.maps.header import MapBlock, MapHeader
from geolulc.products import CLASSIFICATION, Scene

#: Metres that patches share a trunk over: higher and wider waste less at the edges, but take
#: more memory (a stretch is worth 24 patches).
_STRETCH_HEIGHT: Final = 3600
_STRETCH_WIDTH: Final = 9600
#: Rows of cells that leave at once, at most.
_MOST_ROWS: Final = 128
_PIXEL: Final = PIXEL_SIZES[0]
#: Steps of a sum of pixels that are one step of a map's probabilities.
_STEP: Final = ONE // FULL
#: Of a pixel's windows, whose weights add up to one: beyond what rounding takes.
_FULL_SUM: Final = 0.99
#: Rows of 10 m that leave at once, a multiple of 6: 10 MB of a tile with 19 classes.
_ROWS: Final = 24


@dataclass(frozen=True)
class Task:
    """Some windows to compute, or none.

    Attributes:
        place: takes the result of ``work``.
        work: the computation; None where there is only something to say of rows.
        complete: rows of cells above this one are complete with this task; None: no others are.
    """

    place: Callable[[Any], None] | None = None
    work: Callable[[], Any] | None = None
    complete: int | None = None


#: Of a map whose model saw a computed top of the atmosphere.
_COMPUTED: Final = {"input": "top of the atmosphere, computed from Level-2A"}


class PatchCells:
    """One cell for each patch of a patch model."""

    #: Tasks that are queued for each thread, at most.
    ahead = 1

    def __init__(
        self,
        ensemble: Ensemble,
        scene: Scene,
        options: MapOptions,
        *,
        batch_size: int,
        shared: bool = False,
        selected: NDArray[np.bool_] | None = None,
    ) -> None:
        """``shared``: overlapping patches share a trunk; ``selected``: cells, in place of aoi."""
        self._ensemble, self._options = ensemble, options
        self._batch_size, self._shared = batch_size, shared
        self.bands = ensemble.bands
        self.windows = MapGrid(
            scene.grid,
            options.stride or ensemble.patch_size,
            ensemble.patch_size,
            ensemble.sensor.resolutions[-1],
        )
        grid = self._grid(scene)
        self._wanted = np.ones(grid.shape, bool) if selected is None else selected
        if options.aoi is not None and selected is None:
            self._wanted = select_cells(grid, options.aoi)
        self.selected = self._wanted
        known = bool(options.mask_scl) and CLASSIFICATION in scene.images
        self.header = MapHeader(
            grid=grid,
            classes=ensemble.classes,
            nomenclature=ensemble.nomenclature,
            fractions=ensemble.fractions,
            patch_size=ensemble.patch_size,
            thresholds=ensemble.thresholds,
            scene=scene.facts,
            model=ensemble.origin,
            min_clear=options.min_clear if known else 0.0,
            frequencies=ensemble.frequencies,
        )
        self._offsets = ensemble.offsets(scene.offsets)
        columns = self.windows.shape[1]
        self._lefts = np.array([self.windows.patch_left(column) for column in range(columns)])
        self._valid = np.zeros(grid.shape, np.float32)
        self._clear = np.zeros(grid.shape, np.float32) if known else None
        self._spectra = ensemble.spectra
        self._unlikeness: NDArray[np.float32] | None = None
        if self._spectra is not None:
            self._unlikeness = np.full(grid.shape, np.nan, np.float32)
            self._shift = np.array([scene.offsets[name] for name in self._spectra.bands])
        self._next = 0
        #: Rows of patches that are computed together.
        self._together = 1
        if shared:
            self._together += (_STRETCH_HEIGHT - self.windows.patch_size) // self.windows.stride
        self._canvas = self._new_canvas(self._together)

    def _grid(self, scene: Scene) -> Grid:
        return self.windows.cells

    def _new_canvas(self, rows: int) -> Canvas:
        shape = len(self.header.classes), rows, self.header.grid.shape[1]
        return Canvas(shape, np.float32, weighted=True)

    def groups(self, rows: Sequence[int]) -> list[list[int]]:
        """Each row by itself, or those that share a stretch."""
        groups: list[list[int]] = []
        for row in rows:
            if groups and len(groups[-1]) < self._together and groups[-1][-1] == row - 1:
                groups[-1].append(row)
            else:
                groups.append([row])
        return groups

    def tasks(self, rows: Sequence[int], strip: Strip) -> Iterator[Task]:
        """Batches of patches of one row, or stretches over several."""
        grid, size = self.windows, self.windows.patch_size
        tops = [grid.patch_top(row) - grid.patch_top(rows[0]) for row in rows]
        parts = [{r: dn[:, _lines(top, size, r)] for r, dn in strip.dn.items()} for top in tops]
        valid = np.stack([valid_share(part, self._lefts, size) for part in parts])
        clear = self._clear_shares(tops, strip)
        self._keep_quality(rows, valid, clear, strip)
        wanted = self._known(valid, clear) & self.selected[rows]
        for row, part, seen in zip(rows, parts, wanted, strict=True):
            self._compare_spectra(row, part, seen)
        yield from self._before(rows)
        if wanted.any():
            strips = self._ensemble.prepare(strip.dn, self._offsets)
            yield from self._batches(np.array(rows), tops, wanted, strips)
        yield from self._after(rows)

    def _compare_spectra(
        self, row: int, dn: Mapping[int, NDArray[np.uint16]], seen: NDArray[np.bool_]
    ) -> None:
        """Compare the patches of a row that are ``seen`` with what the model learned from."""
        columns = np.flatnonzero(seen)
        if self._spectra is None or not columns.size:
            return
        names, size = self._spectra.bands, self.windows.patch_size
        means = patch_means(dn, self.bands, names, self._lefts[columns], size)
        found = self._spectra.unlikeness(np.maximum(means + self._shift, 0))
        self._keep_unlikeness(row, columns, found)

    def _keep_unlikeness(
        self, row: int, columns: NDArray[np.intp], found: NDArray[np.float32]
    ) -> None:
        """Keep how unlike the training some patches of a row are."""
        if self._unlikeness is not None:
            self._unlikeness[row, columns] = found

    def _before(self, rows: Sequence[int]) -> Iterator[Task]:
        """What is complete before the windows of ``rows`` are computed."""
        yield from ()

    def _after(self, rows: Sequence[int]) -> Iterator[Task]:
        """What is complete once they are."""
        yield Task(complete=rows[-1] + 1)

    def _clear_shares(self, tops: Sequence[int], strip: Strip) -> NDArray[np.float32] | None:
        """Clear shares (rows, columns) of the patches of a strip; None where not known."""
        if self._clear is None or strip.scl is None:
            return None
        size, masked = self.windows.patch_size, self._options.mask_scl
        lines = [strip.scl[_lines(top, size, 20)] for top in tops]
        return np.stack([clear_share(scl, self._lefts, size, masked) for scl in lines])

    def _known(
        self, valid: NDArray[np.float32], clear: NDArray[np.float32] | None
    ) -> NDArray[np.bool_]:
        """Where enough of the ground is valid and clear for a class to be said of it."""
        enough = (valid >= self._options.min_valid) & (valid > 0)
        return enough if clear is None else enough & (clear >= self.header.min_clear)

    def _keep_quality(
        self,
        rows: Sequence[int],
        valid: NDArray[np.float32],
        clear: NDArray[np.float32] | None,
        strip: Strip,
    ) -> None:
        """Keep the valid and clear shares of the cells; those given are of the patches."""
        self._valid[rows] = valid * self._wanted[rows]
        if self._clear is not None and clear is not None:
            self._clear[rows] = clear * self._wanted[rows]

    def _batches(
        self,
        rows: NDArray[np.intp],
        tops: Sequence[int],
        wanted: NDArray[np.bool_],
        strips: list[NetworkStrip],
    ) -> Iterator[Task]:
        if self._shared:
            most = 1 + (_STRETCH_WIDTH - self.windows.patch_size) // self.windows.stride
            for start in range(0, self.windows.shape[1], most):
                part = wanted[:, start : start + most]
                if part.any():
                    lefts = self._lefts[start : start + most].tolist()
                    work = partial(self._ensemble.shared_probabilities, strips, tops, lefts)
                    yield Task(partial(self._place_shared, int(rows[0]), start, part), work)
            return
        columns = np.flatnonzero(wanted[0])
        for batch in np.array_split(columns, -(-columns.size // self._batch_size)):
            yield self._batch(int(rows[0]), batch, strips)

    def _batch(self, row: int, columns: NDArray[np.intp], strips: list[NetworkStrip]) -> Task:
        lefts = self._lefts[columns].tolist()
        return Task(
            partial(self._place, row, columns),
            partial(self._ensemble.probabilities, strips, lefts),
        )

    def _place(self, row: int, columns: NDArray[np.intp], result: NDArray[np.float32]) -> None:
        """Take over the probabilities (patches, classes) of some patches of a row."""
        self._canvas.move(row)
        one = np.ones((1, 1), np.float32)
        for column, values in zip(columns, result, strict=True):
            self._canvas.add(row, int(column), values[:, None, None], one)

    def _place_shared(
        self, row: int, column: int, wanted: NDArray[np.bool_], result: NDArray[np.float32]
    ) -> None:
        """Take over the probabilities (rows, columns, classes) of the patches of a stretch."""
        self._canvas.move(row)
        values = np.where(wanted, np.moveaxis(result, -1, 0), np.float32(0))
        self._canvas.add(row, column, values, wanted.astype(np.float32))

    def leave(self, complete: int | None, *, shares: bool) -> Iterator[MapBlock]:
        """Rows with probabilities where a patch was computed, and with valid and clear shares."""
        end = self.header.grid.shape[0] if complete is None else complete
        while self._next < end:
            last = min(self._next + _MOST_ROWS, end)
            rows = slice(self._next, last)
            probabilities = self._canvas.means(self._next, last)
            valid, clear = self._shares(rows)
            known = self._wanted[rows] & self._known(valid, clear)
            probabilities[:, ~known] = np.nan
            overflown = 0
            if self._ensemble.overflows:
                computed = known & self._canvas.reached(self._next, last)
                overflown = int((computed & np.isnan(probabilities).any(axis=0)).sum())
            unlike = None if self._unlikeness is None else self._unlikeness[rows]
            yield MapBlock(
                self._next, 0, probabilities, valid, clear, unlikeness=unlike, overflown=overflown
            )
            self._next = last

    def _shares(self, rows: slice) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Valid and clear shares of rows of cells."""
        return self._valid[rows], None if self._clear is None else self._clear[rows]


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
        self._air = ensemble.air_over(scene)
        self._area = Area.of(scene.grid, options.aoi)
        self.selected = self._area.select(self.windows)
        grid = self._area.grid(options.resolution or _PIXEL)
        self.header = MapHeader(
            grid=grid,
            classes=ensemble.classes,
            nomenclature=ensemble.nomenclature,
            exclusive=True,
            scene=scene.facts,
            model=ensemble.origin if self._air is None else {**ensemble.origin, **_COMPUTED},
            masked_scl=options.mask_scl if CLASSIFICATION in scene.images else (),
        )
        self._offsets = ensemble.offsets(scene.offsets)
        top, left = (metres // _PIXEL for metres in grid.inset)
        #: The map's rows and columns of 10 m, from the tile's corner.
        self._rows = slice(top, top + grid.extent.height // _PIXEL)
        self._columns = slice(left, left + grid.extent.width // _PIXEL)
        self._factor = grid.cell // _PIXEL
        rows = (self.windows.step + 2 * self.windows.ramp) // _PIXEL
        shape = len(ensemble.classes), rows, self._columns.stop - left
        self._canvas = Canvas(shape, np.uint16, weighted=False)
        #: Of the rows of windows under way: first row of 10 m, and the usable pixels from it on.
        self._usable: deque[tuple[int, NDArray[np.bool_]]] = deque()
        #: First row of 10 m that has not left yet.
        self._next = top
        self._spectra = ensemble.spectra
        #: Of squares as large as the patches of the training; NaN where not all rows were seen.
        self._unlikeness: NDArray[np.float32] | None = None
        if self._spectra is not None:
            squares = scene.grid.height // self._square, scene.grid.width // self._square
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
            end = ((row + 1) * self.windows.step - self.windows.ramp) // _PIXEL
        yield Task(complete=end)

    def _compare_spectra(self, row: int, strip: Strip) -> None:
        """Compare the squares that lie in a strip with what the model learned from."""
        if self._spectra is None or self._unlikeness is None:
            return
        top = max(0, self.windows.start(row))
        bottom = top + strip.dn[_PIXEL].shape[1] * _PIXEL
        lefts = np.arange(self._unlikeness.shape[1]) * self._square
        for square in range(-(-top // self._square), bottom // self._square):
            at = square * self._square - top
            part = {r: dn[:, _lines(at, self._square, r)] for r, dn in strip.dn.items()}
            names = self._spectra.bands
            means = patch_means(part, self.bands, names, lefts, self._square) + self._shift
            self._unlikeness[square] = self._spectra.unlikeness(np.maximum(means, 0))

    def _unlikeness_of(self, start: int, rows: int) -> NDArray[np.float32] | None:
        """How unlike the training the squares of some rows of pixels are, by pixel."""
        if self._unlikeness is None:
            return None
        each = self._factor * np.arange(max(rows, self.header.grid.shape[1]))
        down, across = (
            np.minimum((first + each[:count]) * _PIXEL // self._square, most - 1)
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
        """Pixels of 10 m in the support of a row of windows that have data and are clear."""
        usable = valid_pixels(strip.dn)
        if strip.scl is not None:
            usable &= clear_pixels(strip.scl, self._options.mask_scl, _PIXEL)
        top = self.windows.window(row, 0, _PIXEL)[0].start
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
        """Rows of pixels; ``complete`` counts rows of 10 m from the tile's corner."""
        if complete is None:
            yield from self._empty(self._rows.stop, shares=shares)
            return
        first, usable = self._usable.popleft()
        self._canvas.move(first)
        yield from self._empty(min(first, self._rows.stop), shares=shares)
        end = min(complete, self._rows.stop)
        for start in range(max(first, self._next), end, _ROWS):
            stop = min(start + _ROWS, end)
            mask = usable[start - first : stop - first, self._columns]
            yield self._block(start, self._canvas.sums(start, stop), mask, shares=shares)
            self._next = stop

    def _empty(self, end: int, *, shares: bool) -> Iterator[MapBlock]:
        """Rows without data, down to ``end``."""
        columns = self._columns.stop - self._columns.start
        while self._next < end:
            stop = min(self._next + _ROWS, end)
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


#: The cells of a map of one scene, and the windows that say something of them.
Cells = PatchCells | PixelCells


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


def _lines(top: int, height: int, resolution: int) -> slice:
    return slice(top // resolution, (top + height) // resolution)
