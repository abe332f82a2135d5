"""Regions of pixels as simplified polygons, block by block, without gaps or overlaps."""

from __future__ import annotations

from collections.abc import Iterator
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
    rows, columns = regions.codes.shape
    for top in range(0, rows, block):
        for left in range(0, columns, block):
            bottom, right = min(top + block, rows), min(left + block, columns)
            owners, polygons, counts = _block(regions, top, bottom, left, right)
            if simplify:
                polygons = budget.simplified(owners, polygons)
            yield pieces.add(owners, polygons, counts)


def _block(
    regions: Regions, top: int, bottom: int, left: int, right: int
) -> tuple[NDArray[np.intp], NDArray[Any], NDArray[np.int64]]:
    """Pieces of regions in a block, the region of each, and pixels of each of all regions."""
    rows, columns = regions.codes.shape
    outer_top, outer_left = max(top - 1, 0), max(left - 1, 0)
    outer = regions.window(
        slice(outer_top, min(bottom + 1, rows)), slice(outer_left, min(right + 1, columns))
    )
    beyond = (
        (int(top == 0), int(bottom == rows)),
        (int(left == 0), int(right == columns)),
    )
    around = np.pad(outer, beyond, constant_values=-1)
    owner = np.ascontiguousarray(around[1:-1, 1:-1])
    traced = trace_regions(owner, around)
    placed = traced.corners + np.array([left, top])
    counts = np.bincount(owner.ravel(), minlength=len(regions.code))
    return traced.owners, traced.polygons(placed.astype(np.float64)), counts


class _Pieces:
    """Pieces of regions that reach into blocks to come."""

    def __init__(self, regions: Regions) -> None:
        self._missing = regions.pixels.copy()
        self._open: dict[int, list[Any]] = {}

    def add(
        self, owners: NDArray[np.intp], polygons: NDArray[Any], counts: NDArray[np.int64]
    ) -> RegionPolygons:
        """Take a block's pieces; the regions that are whole now come back."""
        self._missing -= counts
        found: dict[int, list[Any]] = {}
        for owner, polygon in zip(owners.tolist(), polygons, strict=True):
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
