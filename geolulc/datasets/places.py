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
from collections import defaultdict
from collections.abc import Mapping
from typing import Final, NamedTuple

from geolulc.grid import PATCH_SIZE

_SQUARE: Final = 100_000
_UTM_NORTH: Final = re.compile(r"EPSG:326(\d\d)")


class _Rectangle(NamedTuple):
    tile: str
    rows: range
    columns: range
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
        if row in rectangle.rows and column in rectangle.columns:
            return rectangle.tile, rectangle.country
    return None


def tile_corners() -> dict[str, tuple[str, int, int]]:
    """CRS, left and top of the square of each tile of BigEarthNet, in metres."""
    return {
        rectangle.tile: (f"EPSG:326{zone:02}", easting * _SQUARE, (northing + 1) * _SQUARE)
        for (zone, easting, northing), rectangles in _rectangles().items()
        for rectangle in rectangles
    }


@functools.cache
def _rectangles() -> Mapping[tuple[int, int, int], list[_Rectangle]]:
    """Zone, easting and northing of a square → its rectangles."""
    by_square = defaultdict(list)
    table = importlib.resources.files("geolulc.datasets").joinpath("places.csv")
    with table.open(encoding="utf-8") as lines:
        for tile, *numbers, country in list(csv.reader(lines))[1:]:
            zone, easting, northing, top, bottom, left, right = map(int, numbers)
            rectangle = _Rectangle(tile, range(top, bottom + 1), range(left, right + 1), country)
            by_square[zone, easting, northing].append(rectangle)
    return by_square
