"""The words for cells, cover fractions and pixels in pages, STAC Items and messages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from geolulc.maps.areas import CELL_AREAS, FRACTION_AREAS, PIXEL_AREAS, AreaMethod


@dataclass(frozen=True)
class MapUnit:
    """The unit of a map.

    Attributes:
        one, many: its name.
        missing: why some units have no data.
        doubt: the name of the highest entropy, where class frequencies are not known.
        title: of a picture of the classes that are ``first``.
        share: title of the list of their areas.
        areas: how the units are measured.
        certain: the name of the lowest entropy, 0.
        value, values: the name of the number that each class has.
        first: the class with the highest one is the … class.
    """

    one: str
    many: str
    missing: str
    doubt: str
    title: str
    share: str
    areas: AreaMethod
    certain: str = "sure"
    value: str = "probability"
    values: str = "probabilities"
    first: str = "most probable"


#: Cells, each with the classes that are present in it.
CELLS: Final = MapUnit(
    "cell",
    "cells",
    missing="too few valid pixels, or not asked for",
    doubt="1 bit: each class as likely there as not",
    title="Most probable class",
    share="Most probable in … of the cells' area",
    areas=CELL_AREAS,
)
#: Pixels of one class each.
PIXELS: Final = MapUnit(
    "pixel",
    "pixels",
    missing="none in the scene, masked by the scene classification, or not asked for",
    doubt="100 %: all classes alike",
    title="Land cover",
    share="Share of the mapped area",
    areas=PIXEL_AREAS,
)
#: Cells, each shared by its classes.
FRACTIONS: Final = replace(
    CELLS,
    doubt="100 %: all classes cover the same share",
    certain="one class covers all",
    value="cover fraction",
    values="cover fractions",
    first="most extensive",
    title="Most extensive class",
    share="Share of the mapped area, from cover fractions",
    areas=FRACTION_AREAS,
)
