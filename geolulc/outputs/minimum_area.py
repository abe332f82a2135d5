"""A map's codes with regions of a minimum area, and at most as many regions as polygons are wanted.

A map of up to a tile is sieved whole, so that no seam cuts regions. A larger one is sieved sheet by
sheet, each with a halo around it: the codes of the sheets are then one raster again, in which
regions are whole across sheets.

Width of the halo. A region of the minimum or more stays where it is as long as the halo is as wide
as the minimum has cells: its part in a sheet with halo is either all of it, or reaches from the
sheet through the halo, and so has that many cells. Where a smaller region goes depends on its
neighbours, which depend on theirs; of neighbours that are cut, the larger one must still be the
larger one. So the halo is much wider: as wide as a tile's memory allows.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from geolulc.grid import Grid
from geolulc.maps.areas import SQUARE_METRES_PER_HECTARE
from geolulc.maps.header import MapHeader
from geolulc.maps.sieve import sieve
from geolulc.outputs.rasters import Band, RasterPlan, scratch_raster, windows
from geolulc.outputs.regions import region_sizes

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sheets:
    """The parts in which a map is sieved.

    Attributes:
        whole: a map of at most so many cells a side is one sheet.
        side: cells along a sheet of a larger one.
        halo: cells around a sheet that are read with it.
    """

    whole: int = 11_000
    side: int = 8_160
    halo: int = 1_360

    def windows(self, shape: tuple[int, int]) -> Iterator[Window]:
        """The sheets of a map of ``shape``, row by row."""
        return windows(shape, max(shape) if max(shape) <= self.whole else self.side)


class LargestRegions:
    """Chooses the regions that become polygons: the largest, if there are too many."""

    def __init__(self, sizes: NDArray[np.int64], most: int) -> None:
        """``sizes``: cells of all regions; ``most``: the number of polygons that are wanted."""
        self._excess = max(len(sizes) - most, 0)
        self._smallest = int(np.partition(sizes, self._excess)[self._excess]) if self._excess else 0
        #: Number of regions of exactly that size that are kept: the first ones to become whole.
        self._spare = most - int((sizes > self._smallest).sum())
        self._lost = 0.0

    def kept(self, cells: NDArray[np.int64], hectares: NDArray[np.float64]) -> NDArray[np.bool_]:
        """bool (region,): whether each of some regions is kept."""
        if not self._excess:
            return np.ones(len(cells), np.bool_)
        smallest = cells == self._smallest
        kept = (cells > self._smallest) | (smallest & (smallest.cumsum() <= self._spare))
        self._spare -= int((smallest & kept).sum())
        self._lost += float(hectares[~kept].sum())
        return np.asarray(kept, np.bool_)

    def warn(self) -> None:
        """Log the regions that were left out; for the end, when all regions have passed."""
        if self._excess:
            _LOG.warning(
                "the %d smallest regions (%.4g ha in all) left out: islands in nodata",
                self._excess,
                self._lost,
            )


@dataclass(frozen=True)
class CoarseMap:
    """The codes of a map from which polygons are made.

    Attributes:
        classes: raster of codes.
        unit: cells of the smallest region, islands in nodata aside.
        largest: chooses the regions that become polygons, if there are too many even so.
    """

    classes: Path
    unit: int
    largest: LargestRegions


def cells_of(grid: Grid, hectares: float) -> int:
    """Cells of a region of ``hectares`` (on the map), at least 1."""
    return max(1, math.ceil(hectares * SQUARE_METRES_PER_HECTARE / grid.cell**2))


def hectares_of(grid: Grid, cells: int) -> float:
    """Hectares (on the map) of so many cells."""
    return cells * grid.cell**2 / SQUARE_METRES_PER_HECTARE


@contextmanager
def coarse_map(
    header: MapHeader,
    classes: Path,
    folder: Path,
    *,
    min_area: float,
    most: int,
    sheets: Sheets = Sheets(),
) -> Iterator[CoarseMap]:
    """The codes of ``classes`` with regions of ``min_area`` hectares, more if they are too many.

    Args:
        header: the map.
        classes: raster of codes.
        folder: for scratch files, which are removed in the end.
        min_area: hectares that a region has at least.
        most: number of regions, beyond which the minimum is doubled.
        sheets: how the map is sieved.
    """
    scratch = [folder / f".sieved-{turn}.tif" for turn in range(2)]
    wanted = cells_of(header.grid, min_area)
    unit, start, path = wanted, 1, classes
    rows, columns = header.grid.shape
    several = max(rows, columns) > sheets.whole
    sizes = np.zeros(0, np.int64)
    try:
        while True:
            if unit > start:
                target = scratch[path == scratch[0]]
                sizes = _sieved(path, target, header, unit, start, sheets)
                path = target
            # several sheets give the sizes of pieces of regions; counting whole ones takes longer
            if (several and len(sizes) > most) or (unit == start and rows * columns > most):
                sizes = region_sizes(header, path)
            # smaller ones are islands in nodata: a larger minimum would not make them fewer
            if int((sizes >= unit).sum()) <= most or unit >= rows * columns:
                break
            unit, start = 2 * unit, unit
        if unit > wanted:
            _LOG.warning(
                "regions of %g ha would be more than %d polygons: the smallest have %g ha",
                min_area,
                most,
                hectares_of(header.grid, unit),
            )
        yield CoarseMap(path, unit, LargestRegions(sizes, most))
    finally:
        for path in scratch:
            path.unlink(missing_ok=True)


def _sieved(
    source: Path, target: Path, header: MapHeader, unit: int, start: int, sheets: Sheets
) -> NDArray[np.int64]:
    """Sieve ``source`` into ``target``; the sizes of regions, cut where sheets with halo end."""
    grid = header.grid
    rows, columns = grid.shape
    halo = sheets.halo
    sizes = []
    plan = RasterPlan(grid, [Band("")], header.codes.dtype.name, header.no_class)
    with rasterio.open(source) as dataset, scratch_raster(target, plan) as sieved:
        for sheet in sheets.windows(grid.shape):
            top, left = max(sheet.row_off - halo, 0), max(sheet.col_off - halo, 0)
            bottom = min(sheet.row_off + sheet.height + halo, rows)
            right = min(sheet.col_off + sheet.width + halo, columns)
            codes = dataset.read(1, window=Window(left, top, right - left, bottom - top))
            sizes.append(sieve(codes, unit, start, no_class=header.no_class))
            row, column = sheet.row_off - top, sheet.col_off - left
            sieved.write(
                codes[row : row + sheet.height, column : column + sheet.width], 1, window=sheet
            )
            del codes  # before the next sheet's
    return np.concatenate(sizes)
