"""One scene at pixel precision: windows in, strips of probabilities out, as they are computed."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.mapping.memory import give_back_memory
from geolulc.mapping.pixel_area import PixelArea
from geolulc.mapping.pixel_canvas import Canvas, Rows
from geolulc.mapping.pixel_inference import PixelEnsemble, cut
from geolulc.mapping.scene_run import INFERENCE, Progress
from geolulc.mapping.shares import clear_pixels, valid_pixels
from geolulc.mapping.strips import Strip, StripReader
from geolulc.pixel_map import PIXEL_SIZES, PixelMapHeader, PixelStrip
from geolulc.products import Product, unpacked

if TYPE_CHECKING:
    from geolulc.mapping.mapper import Mapper

_LOG: Final = logging.getLogger(__name__)
_PIXEL: Final = PIXEL_SIZES[0]


@dataclass(frozen=True)
class _Batch:
    """Some windows of a row, and what becomes of them; ``last`` of its row."""

    row: int
    columns: list[int]
    future: Future[list[NDArray[np.uint16]]] | None
    last: bool
    usable: NDArray[np.bool_]


class PixelRun:
    """One scene on a mapper of pixel models: a context manager that holds the product open.

    Attributes:
        header: of the map.
        reader: decodes the product.
    """

    def __init__(self, mapper: Mapper, ensemble: PixelEnsemble, product: Product) -> None:
        self._mapper, self._ensemble, self.product = mapper, ensemble, product
        options = mapper.options
        self._windows = ensemble.windows(product.grid)
        self._area = PixelArea.of(product.grid, options.aoi)
        self._selected = self._area.select(self._windows)
        self._offsets = ensemble.offsets(product.offsets)
        self.header = PixelMapHeader(
            grid=self._area.grid(mapper.resolution or _PIXEL),
            classes=ensemble.classes,
            nomenclature=ensemble.nomenclature,
            scene=product.scene,
            model=ensemble.origin,
            masked_scl=options.mask_scl if product.scl_file is not None else (),
        )
        self._under_way: deque[_Batch] = deque()
        self._stack = ExitStack()
        if options.mask_scl and product.scl_file is None:
            _LOG.warning("%s has no scene classification: clouds are not known", product.name)
        try:
            self.reader = self._stack.enter_context(
                StripReader(
                    self._stack.enter_context(unpacked(product)),
                    self._windows,
                    mapper.decoders,
                    selected=self._selected,
                    scl=bool(options.mask_scl),
                )
            )
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> PixelRun:
        return self

    def __exit__(self, *_: object) -> None:
        for batch in self._under_way:
            if batch.future is not None:
                batch.future.cancel()
        self._stack.close()

    def strips(
        self,
        progress: Progress | None = None,
        when_decoded: Callable[[], None] | None = None,
    ) -> Iterator[PixelStrip]:
        """The map's pixels from top to bottom, while the next windows are computed.

        Args:
            progress: called with (windows done, windows in all).
            when_decoded: called when there is nothing left to decode.
        """
        for rows in self.rows(progress, when_decoded):
            yield PixelStrip(rows.row, rows.codes())

    def rows(
        self,
        progress: Progress | None = None,
        when_decoded: Callable[[], None] | None = None,
    ) -> Iterator[Rows]:
        """As ``strips``, but as they add up."""
        canvas = Canvas(self.header, self._windows, self._area, self._mapper.options.min_valid)
        total, done = int(self._selected.sum()), 0
        for batch in self._finished(when_decoded):
            if batch.future is not None:
                parts = self._mapper.networks.result(batch.future)
                for column, part in zip(batch.columns, parts, strict=True):
                    canvas.add(batch.row, column, part)
            if batch.last:
                yield from canvas.finish(batch.row, batch.usable)
                done += int(self._selected[batch.row].sum())
                if progress is not None:
                    progress(done, total)
        # writing goes on for a while: what decoding and inference took is free for it
        self._stack.close()
        give_back_memory()
        yield from canvas.rest()

    def _finished(self, when_decoded: Callable[[], None] | None) -> Iterator[_Batch]:
        """All batches in their order, each when it is time to wait for it."""
        for row in self.reader.rows:
            strip = self.reader.read(row)
            if row == self.reader.rows[-1] and when_decoded is not None:
                when_decoded()
            usable = self._usable(row, strip)
            columns = self._needed(row, usable)
            yield from self._submit(row, columns, strip.dn, usable)
            # not beside the next one
            del strip
        while self._under_way:
            yield self._under_way.popleft()

    def _submit(
        self,
        row: int,
        columns: list[int],
        dn: Mapping[int, NDArray[np.uint16]],
        usable: NDArray[np.bool_],
    ) -> Iterator[_Batch]:
        """Queue a row's windows; gives batches to wait for while enough are under way."""
        networks, size = self._mapper.networks, self._mapper.window_batch
        batches = [columns[i : i + size] for i in range(0, len(columns), size)] or [[]]
        for number, batch in enumerate(batches):
            # enough to do while the rows above are ranked and written; 10 MB each
            while len(self._under_way) > 3 * len(networks):
                yield self._under_way.popleft()
            future = None
            if batch:
                windows = [cut(dn, self._windows, row, column) for column in batch]
                task = partial(
                    self._ensemble.weighted, windows, self._offsets, self._windows, row, batch
                )
                what = f"inference on windows of row {row} of {self.product.name}"
                future = networks.submit(INFERENCE, what, task)
            last = number == len(batches) - 1
            self._under_way.append(_Batch(row, batch, future, last, usable))

    def _usable(self, row: int, strip: Strip) -> NDArray[np.bool_]:
        """Pixels of 10 m in the support of a row's windows that have data and are clear."""
        usable = valid_pixels(strip.dn)
        if strip.scl is not None:
            usable &= clear_pixels(strip.scl, self._mapper.options.mask_scl)
        tile = self._windows.tile
        top = self._windows.window(row, 0, _PIXEL)[0].start
        support = self._windows.support(row, tile.height)
        return usable[support.start - top : support.stop - top]

    def _needed(self, row: int, usable: NDArray[np.bool_]) -> list[int]:
        """Columns of selected windows with a usable pixel."""
        columns = np.atleast_1d(usable.any(axis=0))
        return [
            int(column)
            for column in np.flatnonzero(self._selected[row])
            if columns[self._windows.support(int(column), self._windows.tile.width)].any()
        ]
