"""Tile and country of a v1 patch from where it lies.

``places.csv`` has, for each tile of BigEarthNet, its 100 km square (UTM zone, easting and northing
of the lower-left corner in units of 100 km) and the country of each rectangle of patches (rows
and columns counted from the tile's upper-left corner). It was derived from the list of all patches
with their countries in bigearthnet-common 2.8.0; 54 of the 56 tiles lie in one country.
"""

from __future__ import annotations

import csv
import functools
import importlib.resources
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from geolulc.grid import PATCH_SIZE

_SQUARE: Final = 100_000
_UTM_NORTH: Final = re.compile(r"EPSG:326(\d\d)")


@dataclass(frozen=True, slots=True)
class _Rectangle:
    tile: str
    first_row: int
    last_row: int
    first_column: int
    last_column: int
    country: str


def find_place(patch_name: str, crs: str, left: float, top: float) -> tuple[str, str] | None:
    """(MGRS tile, country) of a patch; None where it is not on a tile of BigEarthNet.

    Args:
        patch_name: ends with column and row of the patch in its tile ("…_87_48").
        crs: "EPSG:326…".
        left, top: projected coordinates of its upper-left corner, in metres.
    """
    zone = _UTM_NORTH.fullmatch(crs)
    if not zone:
        return None
    column, row = (int(part) for part in patch_name.split("_")[-2:])
    # a tile starts up to 40 m outside its square, to the left and to the top
    easting = round((left - column * PATCH_SIZE) / _SQUARE)
    northing = round((top + row * PATCH_SIZE) / _SQUARE) - 1
    for rectangle in _rectangles().get((int(zone[1]), easting, northing), ()):
        if (
            rectangle.first_row <= row <= rectangle.last_row
            and rectangle.first_column <= column <= rectangle.last_column
        ):
            return rectangle.tile, rectangle.country
    return None


@functools.cache
def _rectangles() -> Mapping[tuple[int, int, int], tuple[_Rectangle, ...]]:
    table = importlib.resources.files("geolulc.datasets").joinpath("places.csv")
    of: dict[tuple[int, int, int], tuple[_Rectangle, ...]] = {}
    with table.open(encoding="utf-8") as lines:
        for tile, zone, easting, northing, *edges, country in list(csv.reader(lines))[1:]:
            first_row, last_row, first_column, last_column = map(int, edges)
            rectangle = _Rectangle(tile, first_row, last_row, first_column, last_column, country)
            square = int(zone), int(easting), int(northing)
            of[square] = (*of.get(square, ()), rectangle)
    return of
