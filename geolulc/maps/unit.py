"""The words for cells and for pixels in pages, STAC Items and messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from geolulc.maps.areas import CELL_AREAS, PIXEL_AREAS, AreaMethod


@dataclass(frozen=True)
class MapUnit:
    """The unit of a map.

    Attributes:
        one, many: its name.
        missing: why some units have no data.
        doubt: the name of the highest entropy, where class frequencies are not known.
        areas: how the units are measured.
    """

    one: str
    many: str
    missing: str
    doubt: str
    areas: AreaMethod


#: Cells, each with the classes that are present in it.
CELLS: Final = MapUnit(
    "cell",
    "cells",
    missing="too few valid pixels, or not asked for",
    doubt="1 bit: each class as likely there as not",
    areas=CELL_AREAS,
)
#: Pixels of one class each.
PIXELS: Final = MapUnit(
    "pixel",
    "pixels",
    missing="none in the scene, masked by the scene classification, or not asked for",
    doubt="100 %: all classes alike",
    areas=PIXEL_AREAS,
)
