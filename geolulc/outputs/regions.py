"""Regions of one class as polygons, from a raster of codes of any size, block by block.

A region that touches no border between blocks is whole at once. Of the others, pieces are kept
with their sums; pieces that touch across a border belong to one region, which is whole when no
piece of it touches the blocks still to come. Its pieces are then joined. So memory grows with the
outlines of the regions that reach the row of blocks at hand, not with the map.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
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
from geolulc.maps.regions import Regions, find_regions, graph_components
from geolulc.nomenclature import Codes
from geolulc.outputs.polygons import corner_nodes, trace_regions
from geolulc.outputs.rasters import windows

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
#: In place of a number, where there is no region or piece.
_NONE: Final = -1


@dataclass(frozen=True)
class RegionPolygons:
    """Regions, or pieces of them, that have a class.

    Attributes:
        code: (region,): their codes.
        cells: int64 (region,): numbers of cells.
        area_ha: float64 (region,): areas on the ground.
        expected_ha: float64 (region,): sums over the cells of probability × area.
        polygons: object (region,): in projected coordinates; None where only cells are counted.
    """

    code: Codes
    cells: NDArray[np.int64]
    area_ha: NDArray[np.float64]
    expected_ha: NDArray[np.float64]
    polygons: NDArray[Any]

    def __len__(self) -> int:
        return len(self.code)

    def __getitem__(self, index: NDArray[Any]) -> RegionPolygons:
        return RegionPolygons(*(getattr(self, field.name)[index] for field in fields(self)))

    @classmethod
    def concatenated(cls, parts: Sequence[RegionPolygons]) -> RegionPolygons:
        """All regions of one or more ``parts``."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


#: An empty table of regions.
NO_REGIONS: Final = RegionPolygons(
    np.zeros(0, np.uint8), np.zeros(0, int), np.zeros(0), np.zeros(0), np.zeros(0, dtype=object)
)


@dataclass(frozen=True)
class RegionBlock:
    """The regions of a block of cells, as far as they lie in it.

    Attributes:
        row, column: of its first cell, in the map.
        owner: int32 (rows, columns): the region of each cell, in the order of their first cells.
        regions: these regions; code 0 (no data) too, because their outlines are simplified as well.
        loose: complex128: corners, as x + iy, that regions have only because the block ends.
    """

    row: int
    column: int
    owner: NDArray[np.int32]
    regions: RegionPolygons
    loose: NDArray[np.complex128]


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
        traced = np.where(outlined[owner], owner, np.int32(_NONE))
        nodes = corner_nodes(around)
        ends = corner_nodes(np.pad(traced, 1, constant_values=_NONE)) & ~nodes

        def place(corners: NDArray[np.int32]) -> NDArray[np.float64]:
            return header.grid.place(corners + np.array([column, row]))

        owners, outlines = trace_regions(traced, nodes | ends, place)
        polygons[owners] = outlines
        if not outline_nodata:
            loose = _as_complex(place(np.argwhere(ends)[:, ::-1].astype(np.int32)))
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


class RegionMerger:
    """Blocks in, whole regions out.

    The pieces of regions that are not whole yet are numbered from 0 in the order in which they
    came, and anew after each row of blocks.
    """

    def __init__(self, header: MapHeader) -> None:
        """``header``: the map."""
        self._rows, self._columns = header.grid.shape
        self._no_class = header.no_class
        self._pieces = NO_REGIONS
        #: The pieces of the last cells above the row of blocks at hand, of the last cells of that
        #: row, and of the last column of the block before.
        self._above = np.full(self._columns, _NONE, np.int64)
        self._below = np.full(self._columns, _NONE, np.int64)
        self._left = np.zeros(0, np.int64)
        #: int64 (n, 2): pieces that belong to one region.
        self._pairs = np.zeros((0, 2), np.int64)
        #: The loose corners of the pieces.
        self._loose = np.zeros(0, np.complex128)

    def __len__(self) -> int:
        """Number of pieces that are held."""
        return len(self._pieces)

    def add(self, block: RegionBlock) -> RegionPolygons:
        """Take a block; its inner regions come back, by code and then in the order of first cells.

        Blocks come row by row, and in a row from left to right.
        """
        owner, regions = block.owner, block.regions
        right, bottom = block.column + owner.shape[1], block.row + owner.shape[0]
        cut = np.zeros(len(regions), np.bool_)
        for edge, continues in (
            (owner[0], block.row > 0),
            (owner[-1], bottom < self._rows),
            (owner[:, 0], block.column > 0),
            (owner[:, -1], right < self._columns),
        ):
            cut[edge] |= continues
        cut &= regions.code != self._no_class
        numbers = np.where(cut, len(self) + cut.cumsum() - 1, _NONE)
        self._pieces = RegionPolygons.concatenated([self._pieces, regions[cut]])
        self._loose = np.concatenate([self._loose, block.loose])
        if block.row:
            self._join(self._above[block.column : right], numbers[owner[0]])
        if block.column:
            self._join(self._left, numbers[owner[:, 0]])
        self._left = numbers[owner[:, -1]]
        if bottom < self._rows:
            self._below[block.column : right] = numbers[owner[-1]]
        inner = np.flatnonzero(~cut & (regions.code != self._no_class))
        return regions[inner[np.argsort(regions.code[inner], kind="stable")]]

    def end_row(self) -> RegionPolygons:
        """The regions that became whole with the row of blocks; the pieces of others are kept."""
        count, region = graph_components(self._pairs[:, 0], self._pairs[:, 1], len(self))
        is_open = np.zeros(count, np.bool_)
        is_open[region[self._below[self._below != _NONE]]] = True
        kept = is_open[region]
        whole = self._joined(np.flatnonzero(~kept), region)
        numbers = np.append(kept.cumsum() - 1, _NONE)  # of _NONE, too
        self._above, self._below = numbers[self._below], np.full_like(self._below, _NONE)
        self._pieces, region = self._pieces[kept], region[kept]
        order = np.argsort(region, kind="stable")
        alike = region[order[1:]] == region[order[:-1]]
        self._pairs = np.column_stack([order[:-1][alike], order[1:][alike]])
        held = _as_complex(shapely.get_coordinates(self._pieces.polygons))
        self._loose = self._loose[np.isin(self._loose, held)]
        return whole

    def _join(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> None:
        """Note the pieces of one code that touch: (n,) on both sides of a border."""
        pairs = np.column_stack([one, other])[(one != _NONE) & (other != _NONE)]
        first, second = self._pieces.code[pairs].T
        pairs = np.unique(pairs[first == second], axis=0)
        self._pairs = np.concatenate([self._pairs, pairs])

    def _joined(self, pieces: NDArray[np.intp], region: NDArray[np.int32]) -> RegionPolygons:
        """Some pieces as regions; ``region`` has the region of every piece that is held."""
        if not len(pieces):
            return NO_REGIONS
        pieces = pieces[np.argsort(region[pieces], kind="stable")]
        first = np.flatnonzero(np.diff(region[pieces], prepend=-1))
        parts = self._pieces[pieces]
        polygons = np.full(len(first), None, dtype=object)
        for at, outlines in enumerate(np.split(parts.polygons, first[1:])):
            several = len(outlines) > 1 and outlines[0] is not None
            polygons[at] = shapely.coverage_union_all(outlines) if several else outlines[0]
        return RegionPolygons(
            parts.code[first],
            np.add.reduceat(parts.cells, first),
            np.add.reduceat(parts.area_ha, first),
            np.add.reduceat(parts.expected_ha, first),
            _without(polygons, self._loose) if len(self._loose) else polygons,
        )


def _without(polygons: NDArray[Any], corners: NDArray[np.complex128]) -> NDArray[Any]:
    """Polygons without some of their corners."""
    rings, of_polygon = shapely.get_rings(polygons, return_index=True)
    xy, of_ring = shapely.get_coordinates(rings, return_index=True)
    kept = np.append(of_ring[1:] == of_ring[:-1], False)  # a ring ends where it began
    kept &= ~np.isin(_as_complex(xy), corners)
    rings = shapely.linearrings(xy[kept], indices=of_ring[kept])
    return np.asarray(shapely.polygons(rings, indices=of_polygon), dtype=object)


def _as_complex(xy: NDArray[np.float64]) -> NDArray[np.complex128]:
    """(x, y) as x + iy: one number a corner."""
    return np.asarray(xy @ np.array([1, 1j]), np.complex128)
