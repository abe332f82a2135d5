"""What one map says of its own cells: their probabilities, and how much these weigh.

Maps of cells hold the probabilities of all classes. They weigh the share of the ground behind a
cell that is valid and clear, and a cell whose patch was moved inside the tile is known by its
offset.

Maps of pixels hold no data where a pixel is not valid or not clear. Their probabilities are read
from the raster that says most: of all classes, of the three most probable ones, or of the pixel's
own; where a class is not in the file it counts as zero, which is wrong by at most what is missing
to 1. They weigh how far the pixel lies inside its tile.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geolulc.analysis.map_file import HIGHEST, MapFile, open_map
from geolulc.grid import LOCATED_CELLS, Grid, MapGrid, TileGrid
from geolulc.maps.encoding import FULL, NODATA
from geolulc.maps.header import MapHeader
from geolulc.mosaics.sources import MapSource
from geolulc.nomenclature import Codes

#: Metres inside a tile's edge where a network misses surroundings: the largest ``net.margin``.
EDGE: Final = 660
#: What a pixel at that distance weighs, beside 1 at twice the distance and beyond.
_MARGINAL: Final = 1e-3
#: Files held open, so that neither descriptors nor memory grow with the number of maps.
_MOST_OPEN: Final = 24
#: Bands of the raster of shares.
_VALID, _CLEAR = "Valid share", "Clear share"


@dataclass(frozen=True)
class Observation:
    """One map in some cells.

    Attributes:
        p: (class, rows, columns). Of cells float32 probabilities, NaN where they are not
            observed. Of pixels probabilities times 250: uint8 as in the file, or float32 where
            they are interpolated; they mean nothing where ``weight`` is 0.
        weight: float32 (rows, columns), 0..1; 0 where a cell is not observed.
        offset: float32 (rows, columns), of cells only: metres, along x and y together, from the
            cell's centre to that of its patch, as patches are moved inside at a tile's edge. In
            resampling, cells to which a moved patch or missing ground contributes are off too.
        valid: float32 (rows, columns), of cells only: valid share; NaN where it is not known.
        clear: the same shape: clear share.
    """

    p: NDArray[np.float32] | NDArray[np.uint8]
    weight: NDArray[np.float32]
    offset: NDArray[np.float32] | None = None
    valid: NDArray[np.float32] | None = None
    clear: NDArray[np.float32] | None = None

    @property
    def layers(self) -> dict[str, NDArray[Any]]:
        """The arrays that there are, by the names of the attributes."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: values for name, values in named.items() if values is not None}

    def rows(self, first: int, last: int) -> Observation:
        """Rows ``first`` to ``last``, the last one excluded."""
        return Observation(**{n: v[..., first:last, :] for n, v in self.layers.items()})

    def padded(self, rows: tuple[int, int], columns: tuple[int, int]) -> Observation:
        """With so many rows and columns more before and after, which are not observed."""
        if not any((*rows, *columns)):
            return self
        nothing = {"weight": 0.0, "offset": 0.0}
        padded = {}
        for name, values in self.layers.items():
            beyond = ((0, 0),) * (values.ndim - 2) + (rows, columns)
            fill = nothing.get(name, 0 if values.dtype == np.uint8 else np.nan)
            padded[name] = np.pad(values, beyond, constant_values=fill)
        return Observation(**padded)


class MapReader:
    """Reads windows of maps. Use as a context: it holds the files open that were read last."""

    def __init__(self, classes: tuple[str, ...], *, exclusive: bool) -> None:
        """``classes``: the order of the probabilities; ``exclusive``: the maps are of pixels."""
        self._classes, self._exclusive = classes, exclusive
        self._open: OrderedDict[Path, MapFile] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def read(self, source: MapSource, window: Window) -> Observation:
        """The cells of a window that lies inside the map.

        Raises:
            OutputError: the map is damaged.
        """
        read = self._read_pixels if self._exclusive else self._read_cells
        return read(source, window)

    def _file(self, path: Path) -> MapFile:
        if path not in self._open:
            while len(self._open) >= _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            self._open[path] = open_map(path)
        self._open.move_to_end(path)
        return self._open[path]

    def _read_cells(self, source: MapSource, window: Window) -> Observation:
        p = self._file(source.path).shares(window)
        if source.header.classes != self._classes:
            p = p[[source.header.classes.index(name) for name in self._classes]]
        mapped = np.isfinite(p[0])
        valid, clear = (
            np.where(mapped, s, np.float32(np.nan)) for s in self._shares(source, window)
        )
        # what is not known counts as 1
        known = [np.where(np.isnan(share), np.float32(1), share) for share in (valid, clear)]
        weight = np.where(mapped, known[0] * known[1], np.float32(0))
        down, across = (patch_offsets(source.header, axis) for axis in (0, 1))
        rows, columns = window.toslices()
        return Observation(p, weight, np.add.outer(down[rows], across[columns]), valid, clear)

    def _shares(self, source: MapSource, window: Window) -> list[NDArray[np.float32]]:
        """Valid and clear shares: two of float32 (rows, columns), NaN where they are not known."""
        shares = [np.full((window.height, window.width), np.nan, np.float32) for _ in range(2)]
        if source.has_shares:
            raster = self._file(source.path_beside)
            for share, name in zip(shares, (_VALID, _CLEAR), strict=True):
                if name in raster.dataset.descriptions:
                    share[:] = raster.values(window, [name])[0]
                if np.nanmin(share, initial=0) < 0 or np.nanmax(share, initial=0) > HIGHEST:
                    raise raster.damaged("shares outside 0 to 1")
        return shares

    def _read_pixels(self, source: MapSource, window: Window) -> Observation:
        """Probabilities in the steps of the files, weighed by the distance to the tile's edge."""
        raster = self._file(source.path_beside)
        if source.beside == "probabilities":
            steps = raster.values(window, self._classes)
            nothing = (steps == NODATA).any(axis=0)
        else:
            values = raster.values(window)
            if source.beside == "top3":
                depth = len(values) // 2
                codes = values[:depth]
                # 65535 of ranked 16-bit codes is 255 of 8
                ranked = values[depth:].astype(np.uint8)
            else:
                codes, ranked = self._file(source.path).values(window), values
            nothing = ranked[0] == NODATA
            no_class = codes.dtype.type(source.header.no_class)
            steps = self._placed(source, np.where(nothing, no_class, codes), ranked)
        if ((steps > FULL) & ~nothing).any():
            raise raster.damaged("probabilities outside 0 to 1")
        weight = edge_weights(source.header.grid, *window.toslices())
        weight[nothing] = 0
        return Observation(steps, weight)

    def _placed(
        self, source: MapSource, codes: Codes, ranked: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """The probabilities of ranked classes by class: uint8 (class, rows, columns).

        Those of classes that are not among the ranked ones are 0.
        """
        header = source.header
        place = header.positions
        place[header.codes] = [self._classes.index(name) for name in header.classes]
        place[header.no_class] = 0
        index = place[codes]
        if index.min(initial=0) < 0:
            raise self._file(source.path_beside).damaged("a code that is none of its classes")
        steps = np.zeros((len(self._classes), *ranked.shape[1:]), np.uint8)
        # the last rank first: where it is none, its zero gives way to what comes after it
        for at, values in zip(index[::-1], ranked[::-1], strict=True):
            np.put_along_axis(steps, at[None], values[None], axis=0)
        return steps


def patch_offsets(header: MapHeader, axis: int) -> NDArray[np.float32]:
    """Metres that the patches of each row (axis 0) or column of cells were moved inside the tile.

    0 where cells lie inside patches: none is moved at the tile's edge.
    """
    grid = header.grid
    if grid.cell in LOCATED_CELLS or not isinstance(grid.tile, TileGrid):
        return np.zeros(grid.shape[axis], np.float32)
    return _moved(MapGrid(grid.tile, grid.cell, header.patch_size or grid.cell), axis)


@functools.lru_cache(maxsize=64)  # every block of a map asks for them
def _moved(patches: MapGrid, axis: int) -> NDArray[np.float32]:
    start = patches.patch_left if axis else patches.patch_top
    along = range(patches.shape[axis])
    moved = [abs(start(i) - i * patches.stride + patches.patch_lead) for i in along]
    return np.array(moved, np.float32)


def edge_weights(grid: Grid, rows: slice, columns: slice) -> NDArray[np.float32]:
    """float32 (rows, columns): what pixels weigh by their distance to the edges of their tile.

    Up to ``EDGE`` metres inside an edge a network sees less of the surroundings than in the
    neighbouring tile: weights rise from almost nothing to ``_MARGINAL`` there, and to 1 over the
    next ``EDGE`` metres. Those along x and y are multiplied, so that in a margin that two maps
    share it is the other direction that tells them apart. Where an area of interest ends inside
    the tile nothing is missing.
    """
    top, left = grid.inset
    y = top + (np.arange(rows.start, rows.stop) + 0.5) * grid.cell
    x = left + (np.arange(columns.start, columns.stop) + 0.5) * grid.cell
    down, across = _ramp(y, grid.tile.height), _ramp(x, grid.tile.width)
    return np.multiply.outer(down, across).astype(np.float32)


def _ramp(metres: NDArray[np.float64], end: int) -> NDArray[np.float64]:
    """Weights along one direction, at so many metres from the start of a tile to its ``end``."""
    inside = np.minimum(metres, end - metres) / EDGE
    return np.where(inside < 1, _MARGINAL * inside, (inside - 1).clip(_MARGINAL, 1))
