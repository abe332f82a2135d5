"""Regions of pixels as simplified polygons, block by block, without gaps or overlaps."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from geolulc.outputs.pixel_regions import Regions
from geolulc.outputs.polygons import trace_regions

#: Pixels along a block: its polygons are simplified together.
BLOCK: Final = 2048
#: Square root of the triangles' area, in pixels, that simplifying takes away (Visvalingam and
#: Whyatt 1993): the steps of a slanting line go, a corner of two pixels stays. The next ones are
#: for blocks where that would cost a class too much of its area.
_TOLERANCES: Final = (1.5, 0.75)
#: Share of a class's area by which simplifying may change it.
_MOST_CHANGE: Final = 0.005


@dataclass(frozen=True)
class RegionPolygons:
    """Whole regions: their indices and polygons, corners in (column, row) of pixels."""

    regions: NDArray[np.intp]
    polygons: NDArray[Any]


def region_polygons(
    regions: Regions, *, simplify: bool = True, block: int = BLOCK
) -> Iterator[RegionPolygons]:
    """The polygons of all regions, as their last block is done; those without data too.

    Blocks are simplified one by one while their outlines stay, so that they fit: the polygons
    are a coverage (``shapely.coverage_is_valid``), and the area of a class changes by half a
    per cent at most.
    """
    pieces = _Pieces(regions)
    budget = _Budget(regions)
    waiting: deque[tuple[_Block, Future[NDArray[Any]]]] = deque()
    # GEOS simplifies one block without Python's lock while the next is traced
    with ThreadPoolExecutor(1) as thread:
        for found in _blocks(regions, block):
            if simplify:
                task = thread.submit(budget.simplified, found.owners, found.polygons)
                waiting.append((found, task))
                if len(waiting) > 1:
                    yield pieces.add(*_done(waiting))
            else:
                yield pieces.add(found, found.polygons)
        while waiting:
            yield pieces.add(*_done(waiting))


@dataclass(frozen=True)
class _Block:
    """Pieces of regions in a block.

    Attributes:
        owners: the region of each piece.
        polygons: the pieces.
        counts: pixels in the block of each of all regions.
    """

    owners: NDArray[np.intp]
    polygons: NDArray[Any]
    counts: NDArray[np.int64]


def _done(waiting: deque[tuple[_Block, Future[NDArray[Any]]]]) -> tuple[_Block, NDArray[Any]]:
    found, task = waiting.popleft()
    return found, task.result()


def _blocks(regions: Regions, size: int) -> Iterator[_Block]:
    rows, columns = regions.codes.shape
    for top in range(0, rows, size):
        bottom = min(top + size, rows)
        # a pixel more on each side: corners of what lies beyond are shared
        outer = slice(max(top - 1, 0), min(bottom + 1, rows))
        beyond = ((int(top == 0), int(bottom == rows)), (1, 1))
        labels = np.pad(regions.window(outer, slice(0, columns)), beyond, constant_values=-1)
        for left in range(0, columns, size):
            around = labels[:, left : min(left + size, columns) + 2]
            owner = np.ascontiguousarray(around[1:-1, 1:-1])
            traced = trace_regions(owner, around)
            corners = (traced.corners + np.array([left, top])).astype(np.float64)
            counts = np.bincount(owner.ravel(), minlength=len(regions.code))
            yield _Block(traced.owners, traced.polygons(corners), counts)


class _Pieces:
    """Pieces of regions that reach into blocks to come."""

    def __init__(self, regions: Regions) -> None:
        self._missing = regions.pixels.copy()
        self._open: dict[int, list[Any]] = {}

    def add(self, block: _Block, polygons: NDArray[Any]) -> RegionPolygons:
        """Take a block's pieces, as ``polygons``; the regions that are whole now come back."""
        self._missing -= block.counts
        found: dict[int, list[Any]] = {}
        for owner, polygon in zip(block.owners.tolist(), polygons, strict=True):
            found.setdefault(owner, []).append(polygon)
        whole: dict[int, Any] = {}
        for owner, parts in found.items():
            everything = self._open.pop(owner, []) + parts
            if self._missing[owner]:
                self._open[owner] = everything
            elif len(everything) == 1:
                whole[owner] = everything[0]
            else:
                whole[owner] = shapely.coverage_union_all(everything)
        done = np.empty(len(whole), dtype=object)
        done[:] = list(whole.values())
        return RegionPolygons(np.array(list(whole), np.intp), done)


class _Budget:
    """How much simplifying has changed the area of each code, and how much it may."""

    def __init__(self, regions: Regions) -> None:
        self._code = regions.code
        self._area = np.zeros(256)
        self._change = np.zeros(256)

    def simplified(self, owners: NDArray[np.intp], polygons: NDArray[Any]) -> NDArray[Any]:
        """The coarsest of the simplified coverages that keeps every code within its budget."""
        if not len(polygons):
            return polygons
        codes = self._code[owners]
        before = shapely.area(polygons)
        self._area += np.bincount(codes, weights=before, minlength=256)
        for tolerance in _TOLERANCES:
            fewer = shapely.coverage_simplify(polygons, tolerance, simplify_boundary=False)
            change = self._change + np.bincount(
                codes, weights=shapely.area(fewer) - before, minlength=256
            )
            fits = np.abs(change) <= _MOST_CHANGE * self._area
            fits |= np.abs(change) <= np.abs(self._change)
            fits[0] = True  # without data
            if fits.all():
                self._change = change
                return np.asarray(fewer, dtype=object)
        return polygons
