"""Regions of one dominant class across sheets, each as one polygon.

Sheets come row by row. A region that touches no border between sheets is whole at once. Of the
others, pieces are kept with what they sum up to; pieces that touch across a border are of one
region (union-find), which is whole when no piece of it touches the sheets that are still to come.
Its pieces are then joined. So what is held grows with the outlines of the regions that reach the
row of sheets at hand, not with the mosaic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from geolulc.grid import CellGrid
from geolulc.outputs.areas import cell_areas
from geolulc.outputs.polygons import (
    Outlines,
    corner_nodes,
    label_regions,
    place_corners,
    trace_regions,
)

#: In place of a number, where there is no piece.
_NONE: Final = -1


@dataclass(frozen=True)
class Sheet:
    """Cells of a part of a mosaic.

    Attributes:
        row: of its first cell, in the mosaic.
        column: the same.
        grid: its cells.
        codes: uint8 (rows + 2, columns + 2): dominant class, with one row and column more on each
            side: those of the sheets around, 0 beyond the mosaic; 0 = no data.
        probability: float32 (rows, columns): of the dominant class.
    """

    row: int
    column: int
    grid: CellGrid
    codes: NDArray[np.uint8]
    probability: NDArray[np.float32]


@dataclass(frozen=True)
class Regions:
    """Whole regions: attributes as the columns of ``tables.region_table``."""

    code: NDArray[np.int32]
    area_ha: NDArray[np.float64]
    mean_probability: NDArray[np.float64]
    cells: NDArray[np.int64]
    polygons: NDArray[Any]

    def __len__(self) -> int:
        return len(self.code)


@dataclass(frozen=True)
class _Piece:
    """A part of a region in one sheet.

    ``outline`` is its polygon, corners in (column, row) of the mosaic. ``straight`` are those of
    its corners (``_keys``) that it only has because it ends there.
    """

    code: int
    area_ha: float
    probability: float
    cells: int
    outline: Any
    straight: NDArray[np.int64]


class RegionMerger:
    """Sheets in, whole regions out."""

    def __init__(self, grid: CellGrid) -> None:
        """``grid``: of the mosaic."""
        self._grid = grid
        columns = grid.shape[1]
        #: The pieces of the cells just above the row of sheets at hand, and of its last row.
        self._above = np.full(columns, _NONE, np.int64)
        self._below = np.full(columns, _NONE, np.int64)
        #: Of the last column of the sheet before.
        self._left = np.zeros(0, np.int64)
        self._parents: dict[int, int] = {}
        self._pieces: dict[int, _Piece] = {}
        self._next = 0

    def __len__(self) -> int:
        """Number of pieces that are held."""
        return len(self._pieces)

    def add(self, sheet: Sheet) -> Regions:
        """Take a sheet, each row of them from left to right; its inner regions come back."""
        frame = sheet.codes
        codes = np.ascontiguousarray(frame[1:-1, 1:-1])
        owner, count = label_regions(codes)
        rows, columns = self._grid.shape
        high, wide = codes.shape
        open_edges = [
            edge
            for edge, meets in (
                (owner[0], sheet.row > 0),
                (owner[-1], sheet.row + high < rows),
                (owner[:, 0], sheet.column > 0),
                (owner[:, -1], sheet.column + wide < columns),
            )
            if meets
        ]
        numbers = np.full(count + 1, _NONE, np.int64)  # the last is that of no region
        if open_edges:
            meeting = np.unique(np.concatenate(open_edges))
            meeting = meeting[meeting >= 0]
            numbers[meeting] = self._next + np.arange(len(meeting))
            self._next += len(meeting)
        whole = self._take(sheet, codes, owner, numbers)
        if sheet.row:
            above = self._above[sheet.column : sheet.column + wide]
            self._meet(above, numbers[owner[0]], frame[0, 1:-1] == codes[0])
        if sheet.column:
            self._meet(self._left, numbers[owner[:, 0]], frame[1:-1, 0] == codes[:, 0])
        self._left = numbers[owner[:, -1]]
        if sheet.row + high < rows:
            self._below[sheet.column : sheet.column + wide] = numbers[owner[-1]]
        return whole

    def end_row(self) -> Regions:
        """The regions that became whole with the row of sheets; those still open are kept."""
        roots = {number: self._root(number) for number in self._pieces}
        ahead = np.unique(self._below)
        still = {roots[number] for number in ahead[ahead != _NONE].tolist()}
        done: dict[int, list[_Piece]] = {}
        for number, root in roots.items():
            if root not in still:
                done.setdefault(root, []).append(self._pieces.pop(number))
        self._parents = {n: root for n, root in roots.items() if n in self._pieces}
        self._above, self._below = self._below, np.full_like(self._below, _NONE)
        return self._joined(done.values())

    def _take(
        self,
        sheet: Sheet,
        codes: NDArray[np.uint8],
        owner: NDArray[np.int32],
        numbers: NDArray[np.int64],
    ) -> Regions:
        """Regions of a sheet: those without a number come back, the others are kept as pieces."""
        count = len(numbers) - 1
        mapped = owner >= 0
        index = owner[mapped]
        areas = cell_areas(sheet.grid)[mapped]
        p = sheet.probability[mapped].astype(np.float64)
        code = np.zeros(count, np.int32)
        code[index] = codes[mapped]
        area = np.bincount(index, weights=areas, minlength=count)
        weighted = np.bincount(index, weights=areas * p, minlength=count)
        cells = np.bincount(index, minlength=count)
        traced = trace_regions(owner, sheet.codes.astype(np.int32))
        place = np.array([sheet.column, sheet.row])
        outlines = traced.polygons((traced.corners + place).astype(np.float64))
        inner = numbers[:-1] == _NONE
        own = ~corner_nodes(sheet.codes)[traced.corners[:, 1], traced.corners[:, 0]]
        straight_of = traced.of_polygon[traced.of_ring[own]]
        straight = _keys(traced.corners[own] + place, self._grid)
        for region in np.flatnonzero(~inner).tolist():
            self._pieces[int(numbers[region])] = _Piece(
                int(code[region]),
                float(area[region]),
                float(weighted[region]),
                int(cells[region]),
                outlines[region],
                straight[straight_of == region],
            )
        return Regions(
            code[inner],
            area[inner],
            weighted[inner] / area[inner],
            cells[inner],
            self._placed(outlines[inner], np.zeros(0, np.int64)),
        )

    def _meet(
        self, one: NDArray[np.int64], other: NDArray[np.int64], same: NDArray[np.bool_]
    ) -> None:
        """Pieces of ``one`` and ``other`` that touch where ``same``; -1 is none."""
        both = same & (one != _NONE) & (other != _NONE)
        for a, b in np.unique(np.column_stack([one[both], other[both]]), axis=0).tolist():
            first, second = self._root(a), self._root(b)
            if first != second:
                self._parents[max(first, second)] = min(first, second)

    def _root(self, number: int) -> int:
        path = []
        while (parent := self._parents.get(number, number)) != number:
            path.append(number)
            number = parent
        for passed in path:
            self._parents[passed] = number
        return number

    def _joined(self, regions: Iterable[Sequence[_Piece]]) -> Regions:
        together = list(regions)
        polygons = np.empty(len(together), dtype=object)
        for at, pieces in enumerate(together):
            outlines = [piece.outline for piece in pieces]
            outline = outlines[0] if len(outlines) == 1 else shapely.coverage_union_all(outlines)
            straight = np.concatenate([piece.straight for piece in pieces])
            polygons[at : at + 1] = self._placed(np.array([outline], dtype=object), straight)
        area = np.array([sum(piece.area_ha for piece in pieces) for pieces in together])
        weighted = np.array([sum(piece.probability for piece in pieces) for pieces in together])
        return Regions(
            np.array([pieces[0].code for pieces in together], np.int32),
            area,
            weighted / area,
            np.array([sum(piece.cells for piece in pieces) for pieces in together], np.int64),
            polygons,
        )

    def _placed(self, outlines: NDArray[Any], straight: NDArray[np.int64]) -> NDArray[Any]:
        """Outlines in projected coordinates, without the corners ``straight``."""
        if not len(outlines):
            return np.empty(0, dtype=object)
        rings, of_polygon = shapely.get_rings(outlines, return_index=True)
        corners, of_ring = shapely.get_coordinates(rings, return_index=True)
        kept = np.append(of_ring[1:] == of_ring[:-1], False)  # a ring ends where it began
        corners, of_ring = corners[kept].astype(np.intp), of_ring[kept]
        if len(straight):
            kept = ~np.isin(_keys(corners, self._grid), straight)
            corners, of_ring = corners[kept], of_ring[kept]
        owners = np.arange(len(outlines))
        return Outlines(corners, of_ring, of_polygon, owners).polygons(
            place_corners(self._grid, corners)
        )


def _keys(corners: NDArray[np.intp], grid: CellGrid) -> NDArray[np.int64]:
    """A number for each corner, (column, row)."""
    return np.asarray(corners[:, 1] * (grid.shape[1] + 1) + corners[:, 0], np.int64)
