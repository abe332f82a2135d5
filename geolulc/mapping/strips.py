"""Decoded strips of a scene, one for each row of cells, each tile of its images read once.

A JP2 tile is 10.24, 12.8 or 11.52 km high (10, 20, 60 m), a row of patches 1.2 km: the reader
keeps the rows of tiles that the current cells need, lets go of those above, and has those below
decoded ahead, as far as a bound on memory allows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from geolulc.errors import ProductError
from geolulc.grid import TileGrid
from geolulc.mapping.workers import Workers
from geolulc.products import CLASSIFICATION, Image, Tiling

#: Decoded pixels kept and decoded ahead, in bytes. A row of tiles of all bands of a full tile takes
#: 140 MB; a row of cells that straddles two gets both, whatever this says.
MEMORY: Final = 200_000_000
#: Decoding comes after inference, which frees memory; the first rows first.
_DECODING: Final = 1


class Windows(Protocol):
    """Rows and columns of windows over a tile: patches of a map's cells, or overlapping squares."""

    @property
    def tile(self) -> TileGrid:
        """The ground."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of windows."""

    def window(self, row: int, column: int, resolution: int) -> tuple[slice, slice]:
        """(rows, columns) in pixels of ``resolution`` metres of a window."""


@dataclass(frozen=True)
class TileRow:
    """The tiles of one image that lie in ``row`` and are needed, with the cell rows that do."""

    row: int
    columns: tuple[int, ...]
    first: int
    last: int


def patch_columns(grid: Windows, cells: NDArray[np.bool_], resolution: int) -> NDArray[np.bool_]:
    """Pixel columns of ``resolution`` metres that the patches of a row's ``cells`` touch."""
    touched = np.zeros(grid.tile.width // resolution, bool)
    for column in np.flatnonzero(cells):
        touched[grid.window(0, int(column), resolution)[1]] = True
    return touched


def plan_tile_rows(
    grid: Windows, selected: NDArray[np.bool_], tiling: Tiling, resolution: int
) -> list[TileRow]:
    """The tiles that the selected cells' patches touch: each once, from top to bottom.

    Args:
        grid: the map's grid.
        selected: bool (row, column): cells wanted.
        tiling: of an image of ``resolution`` metres.

    Returns:
        For each row of tiles that is needed, its columns and the first and last cell row
        that read it.
    """
    needed: dict[int, tuple[set[int], list[int]]] = {}
    for row in range(grid.shape[0]):
        if not selected[row].any():
            continue
        columns = patch_columns(grid, selected[row], resolution)
        touched = np.flatnonzero(columns) // tiling.tile_shape[1]
        rows = grid.window(row, 0, resolution)[0]
        first, last = rows.start // tiling.tile_shape[0], (rows.stop - 1) // tiling.tile_shape[0]
        for tile_row in range(first, last + 1):
            tile_columns, cell_rows = needed.setdefault(tile_row, (set(), []))
            tile_columns.update(touched.tolist())
            cell_rows.append(row)
    return [
        TileRow(tile_row, tuple(sorted(columns)), min(rows), max(rows))
        for tile_row, (columns, rows) in sorted(needed.items())
    ]


@dataclass(frozen=True)
class Strip:
    """Native pixels of a row of cells, or several, over the tile's whole width.

    ``dn``: resolution → uint16 (bands in the reader's order, rows, columns), as tall as the
    cells' patches together. ``scl``: uint8 (rows, columns), None where it is not read.
    Columns that no selected cell needs hold 0.
    """

    row: int
    dn: Mapping[int, NDArray[np.uint16]]
    scl: NDArray[Any] | None
    #: Metres a side of the pixels of ``scl``.
    scl_resolution: int = 0


@dataclass
class _Reading:
    """An image that is being read."""

    image: Image
    tiling: Tiling
    plan: list[TileRow]
    decoded: dict[int, NDArray[Any]] = field(default_factory=dict)
    futures: dict[int, list[Future[None]]] = field(default_factory=dict)

    def size(self, tile_row: TileRow) -> int:
        rows = self.tiling.rows(tile_row.row)
        pixels: int = (rows.stop - rows.start) * self.tiling.shape[1]
        return pixels * self.image.dtype.itemsize


class StripReader:
    """Reads strips from top to bottom.

    Attributes:
        rows: rows of cells with a selected cell; read them in this order.
        has_scl: whether strips come with the scene classification.
        tiles_decoded: tiles given to the decoder so far.
        tiles_planned: tiles that the selected cells need.
    """

    def __init__(
        self,
        images: Mapping[str, Image],
        bands: Mapping[int, Sequence[str]],
        grid: Windows,
        workers: Workers,
        *,
        selected: NDArray[np.bool_] | None = None,
        memory: int = MEMORY,
    ) -> None:
        """Plan what is read of ``images``, those of ``Scene.opened``, which must stay open.

        Args:
            images: of ``bands``, and ``CLASSIFICATION`` where it is wanted.
            bands: resolution in metres → names, in the order that strips have them.
            grid: of the cells.
            workers: read the tiles.
            selected: bool (row, column): cells wanted; None: all.
            memory: for tiles read ahead, in bytes.

        Raises:
            ProductError: an image has pixels of another size than the network expects.
        """
        for resolution, names in bands.items():
            for name in names:
                if (found := images[name].resolution) != resolution:
                    raise ProductError(
                        images[name],
                        found=f"pixels of {found} m",
                        expected=f"{resolution} m, the native resolution of {name}",
                        remedy="Give bands at their native resolution.",
                    )
        self._bands = bands
        self._grid = grid
        self._workers = workers
        self._memory = memory
        self._used = 0
        self._free: dict[tuple[tuple[int, ...], np.dtype[Any]], list[NDArray[Any]]] = {}
        cells = np.ones(grid.shape, bool) if selected is None else selected
        self.rows = [int(row) for row in np.flatnonzero(cells.any(axis=1))]
        self.has_scl = CLASSIFICATION in images
        self._readings = {
            name: _Reading(
                image, image.tiling, plan_tile_rows(grid, cells, image.tiling, image.resolution)
            )
            for name, image in images.items()
        }
        units = [(reading, row) for reading in self._readings.values() for row in reading.plan]
        # in the order of first need; of one need, the slow 10 m bands first
        units.sort(key=lambda unit: (unit[1].first, unit[0].image.resolution))
        self._waiting = deque(units)
        self.tiles_planned = sum(len(tile_row.columns) for _, tile_row in units)
        self.tiles_decoded = 0

    def __enter__(self) -> StripReader:
        return self

    def __exit__(self, *_: object) -> None:
        """Drop what is not decoded yet, and the memory; what is being decoded ends by itself."""
        self._waiting.clear()
        self._free.clear()
        for reading in self._readings.values():
            reading.decoded.clear()
            for futures in reading.futures.values():
                for future in futures:
                    future.cancel()

    def start(self) -> None:
        """Begin to decode, without waiting."""
        if self.rows:
            self._submit(self.rows[0])

    def read(self, row: int, last: int | None = None) -> Strip:
        """The strip of the cells in ``row``, or from it to ``last``.

        Waits for its tiles, has others decoded ahead.

        Raises:
            ProductError: a tile cannot be read.
        """
        last = row if last is None else last
        self._release(row)
        self._submit(last)
        dn: dict[int, NDArray[np.uint16]] = {}
        for resolution, names in self._bands.items():
            dn[resolution] = np.empty((len(names), *self._shape(names[0], row, last)), np.uint16)
            for name, pixels in zip(names, dn[resolution], strict=True):
                self._fill(pixels, name, row, last)
        if not self.has_scl:
            return Strip(row, dn, None)
        scl = np.empty(self._shape(CLASSIFICATION, row, last), np.uint8)
        self._fill(scl, CLASSIFICATION, row, last)
        return Strip(row, dn, scl, self._readings[CLASSIFICATION].image.resolution)

    def _submit(self, row: int) -> None:
        """Queue the tiles that ``row`` needs, and further ones while there is memory."""
        while self._waiting:
            reading, tile_row = self._waiting[0]
            size = reading.size(tile_row)
            if tile_row.first > row and self._used + size > self._memory:
                return
            self._waiting.popleft()
            self._used += size
            image, rows = reading.image, reading.tiling.rows(tile_row.row)
            array = self._take(reading)
            reading.decoded[tile_row.row] = array
            reading.futures[tile_row.row] = [
                self._workers.submit(
                    _DECODING + tile_row.first,
                    f"reading tile ({tile_row.row}, {column}) of {image}",
                    partial(
                        image.read,
                        tile_row.row,
                        column,
                        array[: rows.stop - rows.start, reading.tiling.columns(column)],
                    ),
                )
                for column in tile_row.columns
            ]
            self.tiles_decoded += len(tile_row.columns)

    def _take(self, reading: _Reading) -> NDArray[Any]:
        """An array for a row of whole tiles: a new one or one that is not needed any more.

        Giving 20 MB back to the system and asking for them anew scatters the heap.
        """
        shape = reading.tiling.tile_shape[0], reading.tiling.shape[1]
        free = self._free.get((shape, reading.image.dtype))
        if not free:
            return np.zeros(shape, reading.image.dtype)
        array = free.pop()
        array.fill(0)
        return array

    def _release(self, row: int) -> None:
        """Let go of the rows of tiles that end above ``row``."""
        for reading in self._readings.values():
            while reading.plan and reading.plan[0].last < row:
                tile_row = reading.plan.pop(0)
                self._used -= reading.size(tile_row)
                for future in reading.futures.pop(tile_row.row):
                    self._workers.result(future)
                array = reading.decoded.pop(tile_row.row)
                self._free.setdefault((array.shape, array.dtype), []).append(array)
        if not self._waiting:
            self._free.clear()

    def _shape(self, name: str, row: int, last: int) -> tuple[int, int]:
        """Of the image's pixels under the cells of ``row`` to ``last``."""
        rows = self._rows(self._readings[name], row, last)
        return rows.stop - rows.start, self._readings[name].tiling.shape[1]

    def _fill(self, pixels: NDArray[Any], name: str, row: int, last: int) -> None:
        """Write the image's pixel rows under the cells of ``row`` to ``last``."""
        reading = self._readings[name]
        rows = self._rows(reading, row, last)
        height = reading.tiling.tile_shape[0]
        for tile_row in range(rows.start // height, (rows.stop - 1) // height + 1):
            for future in reading.futures[tile_row]:
                self._workers.result(future)
            first = tile_row * height
            start, stop = max(rows.start, first), min(rows.stop, first + height)
            part = reading.decoded[tile_row][start - first : stop - first]
            pixels[start - rows.start : stop - rows.start] = part

    def _rows(self, reading: _Reading, row: int, last: int) -> slice:
        resolution = reading.image.resolution
        top, bottom = (self._grid.window(at, 0, resolution)[0] for at in (row, last))
        return slice(top.start, bottom.stop)
