"""What one map of pixels says of a block: copied where grids agree, resampled otherwise.

Probabilities are steps of 1 / 250 as in the files. Where a map has the three most probable classes
only, or the first, the others count as zero: they are wrong by at most what is missing to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geolulc.grid import CellGrid
from geolulc.mosaics.open_rasters import OpenRasters, damaged
from geolulc.mosaics.pixel_sources import PixelSource
from geolulc.mosaics.warping import warped
from geolulc.mosaics.windows import copied_from, resampled_from
from geolulc.nomenclature import NO_CLASS
from geolulc.outputs.pixel_tallies import pixel_classes
from geolulc.pixel_map import FULL, NODATA, PixelGrid

#: Metres inside a tile's edge where a network misses surroundings: the largest ``net.margin``.
EDGE: Final = 660
#: What a pixel at that distance weighs, beside 1 at twice the distance and beyond.
_MARGINAL: Final = 1e-3


@dataclass(frozen=True)
class PixelObservation:
    """One map in the pixels of a block.

    Attributes:
        steps: (class, rows, columns), in the order asked for: probabilities times 250; uint8 as
            they are in the file, or float32 between them where they are interpolated. Of no
            meaning where ``weight`` is 0.
        weight: float32 (rows, columns): 0 where there is no data, otherwise above 0; at most 1.
    """

    steps: NDArray[np.uint8] | NDArray[np.float32]
    weight: NDArray[np.float32]


class PixelWindows:
    """Reads maps of pixels by windows. Use as a context: it holds datasets open."""

    def __init__(self, classes: tuple[str, ...], *, copied: bool) -> None:
        """``classes``: the order of the probabilities; ``copied``: the grids agree."""
        self._classes, self._copied = classes, copied
        self._rasters = OpenRasters()

    def __enter__(self) -> PixelWindows:
        return self

    def __exit__(self, *_: object) -> None:
        self._rasters.__exit__()

    def observe(self, source: PixelSource, block: CellGrid) -> PixelObservation | None:
        """``source`` in the pixels of ``block``; None where it says nothing.

        Raises:
            OutputError: the map is damaged.
        """
        found = self._copy(source, block) if self._copied else self._resample(source, block)
        return found if found is not None and found.weight.any() else None

    def _copy(self, source: PixelSource, block: CellGrid) -> PixelObservation | None:
        return self._read(source, *copied_from(source.grid, block))

    def _resample(self, source: PixelSource, block: CellGrid) -> PixelObservation | None:
        """By GDAL's warper, as of cells: bilinear, or the average of the pixels inside coarser.

        What is warped is the share of the kernel on mapped pixels, and that times probability and
        times weight: pixels without data count nothing. A pixel is observed where half of the
        kernel or more lies on mapped ones.
        """
        grid = source.grid
        first, last, start, end = resampled_from(grid, block)
        there = self._read(source, first, last, start, end)
        if there is None or not there.weight.any():
            return None
        known = np.empty((2 + len(self._classes), *there.weight.shape), np.float32)
        known[0] = there.weight > 0
        known[1] = there.weight
        np.multiply(there.steps, known[0], out=known[2:])
        found = warped(known, grid, start, first, block)
        mapped = found[0]
        seen = mapped >= 0.5
        with np.errstate(divide="ignore", invalid="ignore"):
            found[1:] /= mapped
        weight = np.where(seen, found[1], np.float32(0)).clip(0, 1)
        steps = np.where(seen, found[2:], np.float32(0)).clip(0, FULL)
        return PixelObservation(steps, weight)

    def _read(
        self, source: PixelSource, first: int, last: int, start: int, end: int
    ) -> PixelObservation | None:
        """Rows ``first`` to ``last`` and columns ``start`` to ``end``; some may lie outside."""
        rows, columns = source.grid.shape
        r0, r1, c0, c1 = max(first, 0), min(last, rows), max(start, 0), min(end, columns)
        if r0 >= r1 or c0 >= c1:
            return None
        steps = self._steps(source, Window.from_slices((r0, r1), (c0, c1)))
        weight = edge_weights(source.header.grid, slice(r0, r1), slice(c0, c1))
        weight[steps[0] == NODATA] = 0
        beyond = ((r0 - first, last - r1), (c0 - start, end - c1))
        if any(map(any, beyond)):
            steps = np.pad(steps, ((0, 0), *beyond))
            weight = np.pad(weight, beyond)
        return PixelObservation(steps, weight)

    def _steps(self, source: PixelSource, window: Window) -> NDArray[np.uint8]:
        """uint8 (class, rows, columns), as in ``PixelStrip``."""
        if source.evidence == "probabilities":
            dataset = self._rasters.dataset(source.beside)
            names = list(dataset.descriptions)
            steps = self._values(source.beside, window, [names.index(c) + 1 for c in self._classes])
            nothing = (steps == NODATA).any(axis=0)
        else:
            codes, p = self._ranked(source, window)
            nothing = p[0] == NODATA
            steps = self._placed(source, np.where(nothing, NO_CLASS, codes), p)
        if ((steps > FULL) & ~nothing).any():
            raise damaged(source.beside, ValueError("probabilities outside 0 to 1"))
        steps[:, nothing] = NODATA
        return steps

    def _ranked(
        self, source: PixelSource, window: Window
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Codes of the most probable classes and their probabilities, (rank, rows, columns)."""
        if source.evidence == "top3":
            values = self._values(source.beside, window)
            depth = len(values) // 2
            return values[:depth], values[depth:]
        return self._values(source.path, window), self._values(source.beside, window)

    def _placed(
        self, source: PixelSource, codes: NDArray[np.uint8], p: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """The probabilities of ranked classes, where these stand; 0 of the others."""
        place = np.full(256, -1, np.intp)
        for c in pixel_classes(source.header):
            place[c.code] = self._classes.index(c.name)
        place[NO_CLASS] = 0
        index = place[codes]
        if index.min(initial=0) < 0:
            raise damaged(source.beside, ValueError("a code that is none of its classes"))
        steps = np.zeros((len(self._classes), *p.shape[1:]), np.uint8)
        # the last rank first: where it is none, its zero gives way to what comes after it
        for at, values in zip(index[::-1], p[::-1], strict=True):
            np.put_along_axis(steps, at[None], values[None], axis=0)
        return steps

    def _values(
        self, path: Path, window: Window, bands: list[int] | None = None
    ) -> NDArray[np.uint8]:
        try:
            values: Any = self._rasters.dataset(path).read(bands, window=window)
        except RasterioError as error:
            raise damaged(path, error) from error
        return np.asarray(values, np.uint8)


def edge_weights(grid: PixelGrid, rows: slice, columns: slice) -> NDArray[np.float32]:
    """float32 (rows, columns): what pixels weigh by their distance to the edges of their tile.

    Up to ``EDGE`` metres inside an edge a network sees less of the surroundings than in the
    neighbouring tile: weights rise from almost nothing to ``_MARGINAL`` there, and to 1 over the
    next ``EDGE`` metres. Those along x and y are multiplied, so that in a margin that two maps
    share it is the other direction that tells them apart. Where an area of interest ends inside
    the tile nothing is missing.
    """
    size, tile = grid.resolution, grid.tile
    y = grid.top + (np.arange(rows.start, rows.stop) + 0.5) * size
    x = grid.left + (np.arange(columns.start, columns.stop) + 0.5) * size
    down, across = (_along(at, end) for at, end in ((y, tile.height), (x, tile.width)))
    return np.multiply.outer(down, across).astype(np.float32)


def _along(metres: NDArray[np.float64], end: int) -> NDArray[np.float64]:
    inside = np.minimum(metres, end - metres) / EDGE
    return np.where(inside < 1, _MARGINAL * inside, (inside - 1).clip(_MARGINAL, 1))
