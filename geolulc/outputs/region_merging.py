"""Pieces of regions that lie in blocks of a raster, joined into whole regions.

Pieces that touch across a border between blocks belong to one region, which is whole when no
piece of it touches the blocks still to come. So memory grows with the outlines of the regions
that reach the row of blocks at hand, not with the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from geolulc.maps.header import MapHeader
from geolulc.maps.regions import graph_components
from geolulc.nomenclature import Codes

#: In place of a number, where there is no region or piece.
NONE: Final = -1


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
        self._above = np.full(self._columns, NONE, np.int64)
        self._below = np.full(self._columns, NONE, np.int64)
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
        numbers = np.where(cut, len(self) + cut.cumsum() - 1, NONE)
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
        is_open[region[self._below[self._below != NONE]]] = True
        kept = is_open[region]
        whole = self._joined(np.flatnonzero(~kept), region)
        numbers = np.append(kept.cumsum() - 1, NONE)  # of NONE, too
        self._above, self._below = numbers[self._below], np.full_like(self._below, NONE)
        self._pieces, region = self._pieces[kept], region[kept]
        order = np.argsort(region, kind="stable")
        alike = region[order[1:]] == region[order[:-1]]
        self._pairs = np.column_stack([order[:-1][alike], order[1:][alike]])
        held = as_complex(shapely.get_coordinates(self._pieces.polygons))
        self._loose = self._loose[np.isin(self._loose, held)]
        return whole

    def _join(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> None:
        """Note the pieces of one code that touch: (n,) on both sides of a border."""
        pairs = np.column_stack([one, other])[(one != NONE) & (other != NONE)]
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
    kept &= ~np.isin(as_complex(xy), corners)
    rings = shapely.linearrings(xy[kept], indices=of_ring[kept])
    return np.asarray(shapely.polygons(rings, indices=of_polygon), dtype=object)


def as_complex(xy: NDArray[np.float64]) -> NDArray[np.complex128]:
    """(x, y) as x + iy: one number a corner."""
    return np.asarray(xy @ np.array([1, 1j]), np.complex128)
