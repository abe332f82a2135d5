"""Land-cover nomenclatures: the 43 CORINE classes of BigEarthNet and the 19 of its authors.

Sources: class names, order and the 43 → 19 conversion from BigEarthNet-MM (Sumbul et al. 2021)
as in ``bigearthnet_common``; CORINE codes and colours from the CORINE Land Cover legend (EEA).
The order is the official one (Urban fabric first); an alphabetical one is in circulation too, so
classes are always found by name. Codes are stable and start at 1; 0 means no class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.errors import ParameterError

#: Code of a cell or pixel without a class.
NO_CLASS: Final = 0
#: Position of a pixel that is of no class of a nomenclature, in arrays of positions.
IGNORED: Final = 255
#: CORINE level-3 codes have three digits; a reference map holds others where nothing is known.
_CLC_CODES: Final = 1000


@dataclass(frozen=True, slots=True)
class LandCoverClass:
    """A class: ``code`` is stable (1…), ``color`` is "#rrggbb", ``clc`` are its CORINE codes."""

    name: str
    short: str
    code: int
    color: str
    clc: tuple[int, ...]

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green, blue, 0..255."""
        return int(self.color[1:3], 16), int(self.color[3:5], 16), int(self.color[5:7], 16)


@dataclass(frozen=True)
class Nomenclature:
    """An ordered list of classes under an ``id``."""

    id: str
    title: str
    classes: tuple[LandCoverClass, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in the official order."""
        return tuple(c.name for c in self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, name: str) -> LandCoverClass:
        """The class called ``name``, exactly; ``ParameterError`` with the nearest otherwise."""
        for candidate in self.classes:
            if candidate.name == name:
                return candidate
        near = get_close_matches(name, self.names, n=1, cutoff=0.0)
        raise ParameterError(
            f"class {name!r}",
            found=f"no class of that name in the nomenclature {self.id}",
            expected=f"one of its {len(self)} names (nearest: {near[0]!r})",
            remedy="Names must match exactly.",
        )

    def index(self, name: str) -> int:
        """Position of ``name`` in the official order, from 0."""
        return self.classes.index(self[name])

    def multi_hot(self, names: Iterable[str]) -> NDArray[np.float32]:
        """float32 vector in the official order: 1 for each class of ``names``."""
        vector = np.zeros(len(self), np.float32)
        for name in names:
            vector[self.index(name)] = 1
        return vector

    def positions_of_clc(self, codes: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Position (from 0) of the class of each CORINE level-3 code, in the shape of ``codes``.

        ``IGNORED`` for codes without a class: CORINE's other classes, and what is no code at all.
        """
        return self._of_clc[np.minimum(codes, _CLC_CODES)]

    @cached_property
    def _of_clc(self) -> NDArray[np.uint8]:
        table = np.full(_CLC_CODES + 1, IGNORED, np.uint8)
        for position, c in enumerate(self.classes):
            table[list(c.clc)] = position
        return table


def _clc(*rows: tuple[int, str, str, str]) -> tuple[LandCoverClass, ...]:
    return tuple(
        LandCoverClass(name, short, code, color, (clc,))
        for code, (clc, name, short, color) in enumerate(rows, start=1)
    )


#: The CORINE level-3 classes that occur in BigEarthNet (all but glaciers), with CORINE's colours.
CLC43: Final = Nomenclature(
    "clc43",
    "CORINE Land Cover level 3, as in BigEarthNet (43 classes)",
    _clc(
        (111, "Continuous urban fabric", "Dense urban", "#e6004d"),
        (112, "Discontinuous urban fabric", "Open urban", "#ff0000"),
        (121, "Industrial or commercial units", "Industry", "#cc4df2"),
        (122, "Road and rail networks and associated land", "Roads, rail", "#cc0000"),
        (123, "Port areas", "Ports", "#e6cccc"),
        (124, "Airports", "Airports", "#e6cce6"),
        (131, "Mineral extraction sites", "Mines", "#a600cc"),
        (132, "Dump sites", "Dumps", "#a64d00"),
        (133, "Construction sites", "Construction", "#ff4dff"),
        (141, "Green urban areas", "Urban green", "#ffa6ff"),
        (142, "Sport and leisure facilities", "Sport, leisure", "#ffe6ff"),
        (211, "Non-irrigated arable land", "Rain-fed arable", "#ffffa8"),
        (212, "Permanently irrigated land", "Irrigated", "#ffff00"),
        (213, "Rice fields", "Rice", "#e6e600"),
        (221, "Vineyards", "Vineyards", "#e68000"),
        (222, "Fruit trees and berry plantations", "Orchards", "#f2a64d"),
        (223, "Olive groves", "Olives", "#e6a600"),
        (231, "Pastures", "Pastures", "#e6e64d"),
        (
            241,
            "Annual crops associated with permanent crops",
            "Annual + permanent crops",
            "#ffe6a6",
        ),
        (242, "Complex cultivation patterns", "Complex cultivation", "#ffe64d"),
        (
            243,
            "Land principally occupied by agriculture, with significant areas of "
            "natural vegetation",
            "Agriculture + nature",
            "#e6cc4d",
        ),
        (244, "Agro-forestry areas", "Agro-forestry", "#f2cca6"),
        (311, "Broad-leaved forest", "Broad-leaved", "#80ff00"),
        (312, "Coniferous forest", "Coniferous", "#00a600"),
        (313, "Mixed forest", "Mixed forest", "#4dff00"),
        (321, "Natural grassland", "Grassland", "#ccf24d"),
        (322, "Moors and heathland", "Moors, heath", "#a6ff80"),
        (323, "Sclerophyllous vegetation", "Sclerophyll", "#a6e64d"),
        (324, "Transitional woodland/shrub", "Woodland/shrub", "#a6f200"),
        (331, "Beaches, dunes, sands", "Beaches, sand", "#e6e6e6"),
        (332, "Bare rock", "Bare rock", "#cccccc"),
        (333, "Sparsely vegetated areas", "Sparse vegetation", "#ccffcc"),
        (334, "Burnt areas", "Burnt", "#000000"),
        (411, "Inland marshes", "Marshes", "#a6a6ff"),
        (412, "Peatbogs", "Peatbogs", "#4d4dff"),
        (421, "Salt marshes", "Salt marshes", "#ccccff"),
        (422, "Salines", "Salines", "#e6e6ff"),
        (423, "Intertidal flats", "Intertidal", "#a6a6e6"),
        (511, "Water courses", "Rivers", "#00ccf2"),
        (512, "Water bodies", "Lakes", "#80f2e6"),
        (521, "Coastal lagoons", "Lagoons", "#00ffa6"),
        (522, "Estuaries", "Estuaries", "#a6ffe6"),
        (523, "Sea and ocean", "Sea", "#e6f2ff"),
    ),
)

# name, short name, colour, CORINE codes. Colours are CORINE's where a class takes over one of its
# classes; "adapted" marks those that CORINE draws too like another of the nineteen on a screen.
_BEN19_ROWS: Final = (
    ("Urban fabric", "Urban", "#e6004d", (111, 112)),
    ("Industrial or commercial units", "Industry", "#cc4df2", (121,)),
    ("Arable land", "Arable", "#ffffa8", (211, 212, 213)),
    ("Permanent crops", "Permanent crops", "#e68000", (221, 222, 223, 241)),
    ("Pastures", "Pastures", "#c8c800", (231,)),  # adapted
    ("Complex cultivation patterns", "Complex cultivation", "#ffbe28", (242,)),  # adapted
    (
        "Land principally occupied by agriculture, with significant areas of natural vegetation",
        "Agriculture + nature",
        "#b08c32",  # adapted
        (243,),
    ),
    ("Agro-forestry areas", "Agro-forestry", "#f2cca6", (244,)),
    ("Broad-leaved forest", "Broad-leaved", "#80ff00", (311,)),
    ("Coniferous forest", "Coniferous", "#006e00", (312,)),  # adapted
    ("Mixed forest", "Mixed forest", "#28be28", (313,)),  # adapted
    (
        "Natural grassland and sparsely vegetated areas",
        "Grassland, sparse",
        "#aae1b4",  # adapted
        (321, 333),
    ),
    (
        "Moors, heathland and sclerophyllous vegetation",
        "Moors, heath",
        "#9c6ea0",  # adapted
        (322, 323),
    ),
    ("Transitional woodland, shrub", "Woodland, shrub", "#6e8c28", (324,)),  # adapted
    ("Beaches, dunes, sands", "Beaches, sand", "#c3c3c3", (331,)),  # adapted
    ("Inland wetlands", "Inland wetlands", "#4d4dff", (411, 412)),
    ("Coastal wetlands", "Coastal wetlands", "#b4b4ff", (421, 422)),  # adapted
    ("Inland waters", "Inland waters", "#00ccf2", (511, 512)),
    ("Marine waters", "Marine waters", "#1464b4", (521, 522, 523)),  # adapted
)

#: BigEarthNet's 19 classes in the official order.
BEN19: Final = Nomenclature(
    "ben19",
    "BigEarthNet nomenclature of 19 classes",
    tuple(
        LandCoverClass(name, short, code, color, clc)
        for code, (name, short, color, clc) in enumerate(_BEN19_ROWS, start=1)
    ),
)

NOMENCLATURES: Final[Mapping[str, Nomenclature]] = MappingProxyType(
    {n.id: n for n in (BEN19, CLC43)}
)

_BEN19_OF_CLC: Final = {code: c.name for c in BEN19.classes for code in c.clc}


def nomenclature(identifier: str) -> Nomenclature:
    """The nomenclature with that ``id``; ``ParameterError`` for any other."""
    try:
        return NOMENCLATURES[identifier]
    except KeyError:
        raise ParameterError(
            f"nomenclature {identifier!r}",
            found="no such nomenclature",
            expected=f"one of {', '.join(NOMENCLATURES)}",
            remedy="Use one of these.",
        ) from None


def convert_to_ben19(clc43_names: Iterable[str]) -> tuple[str, ...]:
    """The 19-class names of a patch labelled with CORINE names, in the official order.

    Eleven CORINE classes (roads, burnt areas, …) have no counterpart and are dropped, so the
    result can be empty. ``ParameterError`` for a name that is not CORINE's.
    """
    found = {
        _BEN19_OF_CLC[code]
        for name in clc43_names
        for code in CLC43[name].clc
        if code in _BEN19_OF_CLC
    }
    return tuple(name for name in BEN19.names if name in found)
