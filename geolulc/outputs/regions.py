"""Regions of one class as polygons, from a raster of codes of any size, block by block.

Each block is traced, measured and simplified by itself; ``RegionMerger`` joins the pieces of
regions that several blocks share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window

from geolulc.grid import Grid
from geolulc.maps.areas import AreaMethod, ground_areas
from geolulc.maps.encoding import FULL
from geolulc.maps.header import MapHeader
from geolulc.maps.regions import Regions, find_regions
from geolulc.nomenclature import Codes
from geolulc.outputs.polygons import corner_nodes, trace_regions
from geolulc.outputs.rasters import windows
from geolulc.outputs.region_merging import (
    NONE,
    RegionBlock,
    RegionMerger,
    RegionPolygons,
    as_complex,
)

#: Cells along a block: its polygons are simplified together.
BLOCK: Final = 2048
#: Square root of the triangles' area, in cells, that simplifying takes away (Visvalingam and
#: Whyatt 1993): the steps of a slanting line go, a corner of two cells stays. The next ones are
#: for blocks where that would cost a class too much of its area.
_TOLERANCES: Final = (1.5, 0.75)
#: Share of a class's area by which simplifying may change it.
_MOST_CHANGE: Final = 0.005
#: Rows measured at a time.
_AT_ONCE: Final = 128


def region_polygons(
    header: MapHeader, classes: Path, confidence: Path, *, simplify: bool, block: int = BLOCK
) -> Iterator[RegionPolygons]:
    """The regions of a map with their polygons, as they become whole.

    The polygons are a coverage (``shapely.coverage_is_valid``). Where they are simplified, the
    outlines of blocks stay, so that blocks fit, and the area of a class changes by half a per
    cent at most.

    Args:
        header: the map.
        classes, confidence: rasters as in ``vectors.VectorSources``.
        simplify: straighten the steps of outlines.
        block: cells along a block.
    """
    traced = _blocks(header, classes, confidence, block, outline_nodata=simplify)
    yield from _whole(header, _simplified(traced, header) if simplify else traced)


def region_sizes(header: MapHeader, classes: Path, *, block: int = BLOCK) -> NDArray[np.int64]:
    """int64 (region,): the number of cells of every region of a map that has a class."""
    found = _whole(header, _blocks(header, classes, None, block))
    return np.concatenate([np.zeros(0, np.int64), *(regions.cells for regions in found)])


def _whole(header: MapHeader, blocks: Iterable[RegionBlock]) -> Iterator[RegionPolygons]:
    merger = RegionMerger(header)
    for block in blocks:
        yield merger.add(block)
        if block.column + block.owner.shape[1] == header.grid.shape[1]:
            yield merger.end_row()


def _blocks(
    header: MapHeader,
    classes: Path,
    confidence: Path | None,
    size: int,
    *,
    outline_nodata: bool = False,
) -> Iterator[RegionBlock]:
    """The blocks of a map, row by row; without ``confidence`` only cells are counted."""
    with rasterio.open(classes) as codes, rasterio.open(confidence or classes) as probability:
        for window in windows(header.grid.shape, size):
            around = _read_framed(codes, window, header.no_class)
            p = None if confidence is None else probability.read(1, window=window)
            row, column = window.row_off, window.col_off
            yield _block(header, row, column, around, p, outline_nodata=outline_nodata)


def _read_framed(dataset: Any, window: Window, no_class: int) -> Codes:
    """The codes of a window with one row and column more on each side, none beyond the map."""
    around = np.full((window.height + 2, window.width + 2), no_class, dataset.dtypes[0])
    row, column = window.row_off - 1, window.col_off - 1
    whole = Window(0, 0, dataset.width, dataset.height)
    inside = Window(column, row, *around.shape[::-1]).intersection(whole)
    (top, bottom), (left, right) = inside.toranges()
    around[top - row : bottom - row, left - column : right - column] = dataset.read(
        1, window=inside
    )
    return around


def _block(
    header: MapHeader,
    row: int,
    column: int,
    around: Codes,
    probability: NDArray[Any] | None,
    *,
    outline_nodata: bool,
) -> RegionBlock:
    found = find_regions(np.ascontiguousarray(around[1:-1, 1:-1]))
    owner, count = found.labels, len(found.code)
    zeros, polygons = np.zeros(count), np.full(count, None, dtype=object)
    loose = np.zeros(0, np.complex128)
    regions = RegionPolygons(found.code, found.cells, zeros, zeros, polygons)
    if probability is not None:
        area_ha, expected_ha = _measured(header, found, row, column, probability)
        regions = replace(regions, area_ha=area_ha, expected_ha=expected_ha)
        outlined = outline_nodata | (found.code != header.no_class)
        traced = np.where(outlined[owner], owner, np.int32(NONE))
        nodes = corner_nodes(around)
        ends = corner_nodes(np.pad(traced, 1, constant_values=NONE)) & ~nodes

        def place(corners: NDArray[np.int32]) -> NDArray[np.float64]:
            return header.grid.place(corners + np.array([column, row]))

        owners, outlines = trace_regions(traced, nodes | ends, place)
        polygons[owners] = outlines
        if not outline_nodata:
            loose = as_complex(place(np.argwhere(ends)[:, ::-1].astype(np.int32)))
    return RegionBlock(row, column, owner, regions, loose)


def _measured(
    header: MapHeader, found: Regions, row: int, column: int, probability: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The areas of a block's regions, and their sums of probability × area, in hectares."""
    areas = _areas(header.grid, header.unit.areas, row, column, probability.shape)
    area_ha = found.sums(areas)
    areas *= probability
    whole = FULL if probability.dtype == np.uint8 else 1
    return area_ha, found.sums(areas) / whole


def _areas(
    grid: Grid, method: AreaMethod, row: int, column: int, shape: tuple[int, int]
) -> NDArray[np.float64]:
    columns = slice(column, column + shape[1])
    return np.concatenate(
        [
            ground_areas(grid, method, slice(top, min(top + _AT_ONCE, row + shape[0])), columns)
            for top in range(row, row + shape[0], _AT_ONCE)
        ]
    )


def _simplified(blocks: Iterable[RegionBlock], header: MapHeader) -> Iterator[RegionBlock]:
    budget = _Budget(header)
    waiting: Future[RegionBlock] | None = None
    # GEOS simplifies one block without Python's lock while the next is traced
    with ThreadPoolExecutor(1) as thread:
        for block in blocks:
            task = thread.submit(budget.simplified, block)
            if waiting is not None:
                yield waiting.result()
            waiting = task
        if waiting is not None:
            yield waiting.result()


class _Budget:
    """How much simplifying has changed the area of each code, and how much it may."""

    def __init__(self, header: MapHeader) -> None:
        self._header = header
        self._area = np.zeros(len(header.positions))
        self._change = np.zeros_like(self._area)

    def simplified(self, block: RegionBlock) -> RegionBlock:
        """The block with the coarsest coverage that keeps every code within its budget."""
        codes, polygons = block.regions.code, block.regions.polygons
        before = shapely.area(polygons)
        self._area += np.bincount(codes, weights=before, minlength=len(self._area))
        for tolerance in _TOLERANCES:
            fewer = shapely.coverage_simplify(
                polygons, tolerance * self._header.grid.cell, simplify_boundary=False
            )
            change = self._change + np.bincount(
                codes, weights=shapely.area(fewer) - before, minlength=len(self._area)
            )
            fits = np.abs(change) <= _MOST_CHANGE * self._area
            fits |= np.abs(change) <= np.abs(self._change)
            fits[self._header.no_class] = True
            if fits.all():
                self._change = change
                return replace(block, regions=replace(block.regions, polygons=fewer))
        return block
