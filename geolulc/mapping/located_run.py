"""One scene on cells that are finer than its patches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geolulc.grid import CellGrid, MapGrid
from geolulc.landcover_map import LandCoverMap
from geolulc.mapping.inference import NetworkStrip
from geolulc.mapping.located_cells import LocatedCells, Shares
from geolulc.mapping.location import LocatedEnsemble
from geolulc.mapping.scene_run import Progress, SceneRun
from geolulc.mapping.shares import clear_pixels, valid_pixels
from geolulc.mapping.strips import Strip
from geolulc.products import Product

if TYPE_CHECKING:
    from geolulc.mapping.mapper import Mapper


class LocatedRun(SceneRun):
    """As ``SceneRun``, but a patch's answer is placed on the cells that lie in it."""

    def __init__(
        self, mapper: Mapper, ensemble: LocatedEnsemble, product: Product, resolution: int
    ) -> None:
        self._located = ensemble
        patches = MapGrid(product.grid, mapper.options.stride, ensemble.patch_size)
        self.cells = CellGrid(product.grid, resolution, ensemble.patch_size)
        self._geometry = LocatedCells(patches, self.cells)
        self._wanted = np.ones(self.cells.shape, bool)
        if mapper.options.aoi is not None:
            from geolulc.mapping.area import select_cells

            self._wanted = select_cells(self.cells, mapper.options.aoi)
        super().__init__(mapper, product, self._geometry.patches_of(self._wanted))
        shape = len(ensemble.classes), *self.cells.shape
        self._sums = np.zeros(shape, np.float32)
        self._weights = np.zeros(self.cells.shape, np.float32)
        self._valid = Shares(self.cells, 10)
        self._clear = Shares(self.cells, 10) if self.reader.has_scl else None

    def map(
        self,
        progress: Progress | None = None,
        when_decoded: Callable[[], None] | None = None,
    ) -> LandCoverMap:
        """The map of cells; ``when_decoded`` as in ``SceneRun.map``."""
        self._run(progress, when_decoded)
        valid = self._valid.shares() * self._wanted
        known = self._wanted & (self._weights > 0) & (valid > 0)
        known &= valid >= self._mapper.options.min_valid
        with np.errstate(divide="ignore", invalid="ignore"):
            probabilities = np.divide(self._sums, self._weights, out=self._sums)
        probabilities[:, ~known] = np.nan
        return self._made(
            self.cells,
            probabilities,
            valid,
            None if self._clear is None else self._clear.shares() * self._wanted,
        )

    def _note(self, strip: Strip, top: int) -> None:
        self._valid.add(top, valid_pixels(strip.dn))
        if self._clear is not None and strip.scl is not None:
            self._clear.add(top, clear_pixels(strip.scl, self._mapper.options.mask_scl))

    def _task(
        self,
        strips: list[NetworkStrip],
        lefts: NDArray[np.int64],
        row: int,
        columns: NDArray[np.intp],
    ) -> Callable[[], Any]:
        down = self._geometry.row(row)
        across = [self._geometry.column(column) for column in columns.tolist()]
        return partial(self._located.located, strips, lefts[columns].tolist(), down, across)

    def _place(self, rows: NDArray[np.intp], columns: NDArray[np.intp], result: Any) -> None:
        """Take over the cells of each patch of a batch."""
        down = self._geometry.row(int(rows[0]))
        for column, cells in zip(columns, result, strict=True):
            across = self._geometry.column(int(column))
            weights = np.outer(down.weights, across.weights)
            self._sums[:, down.cells, across.cells] += cells * weights
            self._weights[down.cells, across.cells] += weights
