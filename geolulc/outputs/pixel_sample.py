"""A map at pixel precision seen from afar: pixels at regular steps, as a map of cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geolulc.grid import CellGrid
from geolulc.landcover_map import LandCoverMap, MapHeader
from geolulc.outputs.cells import entropy_of_one, mapped_cells
from geolulc.outputs.figures import MapFigures
from geolulc.outputs.pixel_tallies import PixelTally
from geolulc.pixel_map import FULL, NODATA, PixelMapHeader

#: At most so many pixels along a side: what a picture shows.
_MOST: int = 800


def cell_header(header: PixelMapHeader, step: int = 1) -> MapHeader:
    """The header of a map whose cells are squares of ``step`` × ``step`` pixels."""
    grid = header.grid
    stride = grid.resolution * step
    return MapHeader(
        CellGrid(grid.extent, stride, stride),
        header.classes,
        header.nomenclature,
        scene=header.scene,
        model=header.model,
    )


class PixelSample:
    """One pixel of every square of ``step`` × ``step``, kept while blocks pass."""

    def __init__(self, header: PixelMapHeader) -> None:
        rows, columns = header.grid.shape
        step = -(-max(rows, columns) // _MOST)
        self._header = cell_header(header, step)
        self._rows, self._columns = (
            np.minimum(np.arange(0, n, step) + step // 2, n - 1) for n in (rows, columns)
        )
        shape = len(header.classes), len(self._rows), len(self._columns)
        self._kept = np.full(shape, NODATA, np.uint8)

    def add(self, row: int, probabilities: NDArray[np.uint8], column: int = 0) -> None:
        """Look at rows from ``row``, and ``column`` on: uint8 (class, rows, columns)."""
        _, rows, columns = probabilities.shape
        down, across = (
            np.flatnonzero((picks >= start) & (picks < start + n))
            for picks, start, n in ((self._rows, row, rows), (self._columns, column, columns))
        )
        picked = np.ix_(self._rows[down] - row, self._columns[across] - column)
        for kept, layer in zip(self._kept, probabilities, strict=True):
            kept[np.ix_(down, across)] = layer[picked]

    def map(self) -> LandCoverMap:
        """What was kept: the probability of a cell is that of one of its pixels."""
        steps = self._kept
        p = np.where((steps == NODATA).any(axis=0), np.float32(np.nan), steps / np.float32(FULL))
        header = self._header
        return LandCoverMap(
            grid=header.grid,
            classes=header.classes,
            nomenclature=header.nomenclature,
            probabilities=p.astype(np.float32),
            valid=np.isfinite(p[0]).astype(np.float32),
            scene=header.scene,
            model=header.model,
        )


def pixel_figures(header: PixelMapHeader, tally: PixelTally, sample: LandCoverMap) -> MapFigures:
    """The figures of the whole map; its entropy is that of the sample."""
    rows, columns = header.grid.shape
    mapped = tally.mapped_pixels
    seen = mapped_cells(sample)
    doubt = float(entropy_of_one(sample)[seen].sum(dtype=np.float64)) / max(int(seen.sum()), 1)
    # pixels that the scene classification masks have no data: those that are left are clear
    clear = (float(mapped), mapped) if header.masked_scl else None
    return MapFigures(
        cells=rows * columns,
        mapped=mapped,
        area_ha=tally.mapped_area,
        clear=clear,
        clear_mapped=clear or (0.0, 0),
        entropy=doubt * mapped,
    )
