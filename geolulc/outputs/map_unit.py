"""What a map consists of, cells or pixels, and how pages name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from geolulc.outputs.areas import AREA_METHOD
from geolulc.outputs.pixel_areas import PIXEL_AREA_METHOD


@dataclass(frozen=True)
class MapUnit:
    """The unit of a map.

    Attributes:
        one, many: its name.
        exclusive: one class each, so that probabilities add up to 1; else each class may be
            present or not.
        missing: why some have no data.
        doubt: what the highest entropy is called.
        areas: how they are measured, in words.
    """

    one: str
    many: str
    exclusive: bool
    missing: str
    doubt: str
    areas: str


#: Cells with the classes that are present in them.
CELLS: Final = MapUnit(
    "cell",
    "cells",
    exclusive=False,
    missing="too few valid pixels, or not asked for",
    doubt="1 bit: nothing is known",
    areas=AREA_METHOD,
)
#: Pixels of one class each.
PIXELS: Final = MapUnit(
    "pixel",
    "pixels",
    exclusive=True,
    missing="none in the scene, masked by the scene classification, or not asked for",
    doubt="100 %: all classes alike",
    areas=PIXEL_AREA_METHOD,
)
