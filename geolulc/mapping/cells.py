"""How answers for patches become cells of a map.

``Run`` decodes a scene and has windows computed; what differs between maps is here: the windows,
the cells that each says something of, and when rows of cells are complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pyproj import Transformer

from geolulc.domain import patch_means
from geolulc.grid import Grid
from geolulc.mapping.area import select_cells
from geolulc.mapping.canvas import Canvas
from geolulc.mapping.inference import Ensemble, NetworkStrip, Shifts
from geolulc.mapping.options import MapOptions
from geolulc.mapping.quality import clear_share, valid_share
from geolulc.mapping.strips import Strip
from geolulc.maps.header import MapBlock, MapHeader
from geolulc.products import CLASSIFICATION, Scene, patches_of

#: Metres that patches share a trunk over: higher and wider waste less at the edges, but take
#: more memory (a stretch is worth 24 patches).
_STRETCH_HEIGHT: Final = 3600
_STRETCH_WIDTH: Final = 9600
#: Rows of cells that leave at once, at most.
_MOST_ROWS: Final = 128


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
        self.windows = patches_of(scene, ensemble.patch_size, options.stride)
        grid = self._grid(scene)
        self._wanted = np.ones(grid.shape, bool) if selected is None else selected
        if options.aoi is not None and selected is None:
            self._wanted = select_cells(grid, options.aoi)
        self.selected = self._wanted
        self._shifting = options.geographic_prior and ensemble.has_prior
        shifted = ensemble.largest_shifts(*grid.tile.centre) if self._shifting else {}
        known = bool(options.mask_scl) and CLASSIFICATION in scene.images
        self.header = MapHeader(
            grid=grid,
            classes=ensemble.classes,
            nomenclature=ensemble.nomenclature,
            fractions=ensemble.fractions,
            patch_size=ensemble.patch_size,
            thresholds=ensemble.thresholds,
            scene=scene.facts,
            model=ensemble.origin | shifted,
            min_clear=options.min_clear if known else 0.0,
            frequencies=ensemble.frequencies,
        )
        self._to_degrees = Transformer.from_crs(scene.grid.crs, 4326, always_xy=True)
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
        parts = [
            {r: dn[:, pixel_lines(top, size, r)] for r, dn in strip.dn.items()} for top in tops
        ]
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
        size, pixel, masked = self.windows.patch_size, strip.scl_resolution, self._options.mask_scl
        lines = [strip.scl[pixel_lines(top, size, pixel)] for top in tops]
        return np.stack([clear_share(scl, pixel, self._lefts, size, masked) for scl in lines])

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
                    shifts = self._shifts(rows, np.arange(start, start + len(lefts)))
                    work = partial(self._ensemble.shared_probabilities, strips, tops, lefts, shifts)
                    yield Task(partial(self._place_shared, int(rows[0]), start, part), work)
            return
        columns = np.flatnonzero(wanted[0])
        for batch in np.array_split(columns, -(-columns.size // self._batch_size)):
            yield self._batch(int(rows[0]), batch, strips)

    def _batch(self, row: int, columns: NDArray[np.intp], strips: list[NetworkStrip]) -> Task:
        lefts, shifts = self._lefts[columns].tolist(), self._shifts(row, columns)
        return Task(
            partial(self._place, row, columns),
            partial(self._ensemble.probabilities, strips, lefts, shifts),
        )

    def _shifts(self, rows: ArrayLike, columns: NDArray[np.intp]) -> Shifts | None:
        """What geographic priors add to the logits of patches: (…, columns, classes) each.

        ``rows``: one, or several, (…).
        """
        if not self._shifting:
            return None
        tile, middle = self.windows.tile, self.windows.patch_size / 2
        tops = np.vectorize(self.windows.patch_top)(rows)
        y = np.asarray(tile.top - tops - middle)[..., None]
        x, y = np.broadcast_arrays(tile.left + self._lefts[columns] + middle, y)
        return self._ensemble.shifts(*self._to_degrees.transform(x, y))

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


def pixel_lines(top: int, height: int, resolution: int) -> slice:
    """Rows of pixels of ``resolution`` metres, from ``top`` on, in metres."""
    return slice(top // resolution, (top + height) // resolution)
