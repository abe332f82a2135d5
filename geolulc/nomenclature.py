"""Land-cover nomenclatures: the 43 CORINE classes of BigEarthNet and the 19 of its authors.

The classes are in ``nomenclatures/*.toml``, with their sources. The conversion from 43 to 19
classes is that of BigEarthNet-MM (Sumbul et al. 2021), as in ``bigearthnet_common``.
The order is the official one (Urban fabric first); an alphabetical one is in circulation too, so
classes are always found by name. Codes are stable and start at 1; 0 means no class.
"""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.errors import ParameterError, require_one_of

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


def _read(identifier: str) -> Nomenclature:
    file = importlib.resources.files("geolulc").joinpath("nomenclatures", f"{identifier}.toml")
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    classes = tuple(
        LandCoverClass(name, short, code, color, tuple(clc))
        for code, (name, short, color, clc) in enumerate(values["classes"], start=1)
    )
    return Nomenclature(values["id"], values["title"], classes)


#: The CORINE level-3 classes that occur in BigEarthNet (all but glaciers), with CORINE's colours.
CLC43: Final = _read("clc43")
#: BigEarthNet's 19 classes in the official order.
BEN19: Final = _read("ben19")

NOMENCLATURES: Final[Mapping[str, Nomenclature]] = MappingProxyType(
    {n.id: n for n in (BEN19, CLC43)}
)

_BEN19_OF_CLC: Final = {code: c.name for c in BEN19.classes for code in c.clc}


def nomenclature(identifier: str) -> Nomenclature:
    """The nomenclature with that ``id``; ``ParameterError`` for any other."""
    require_one_of("nomenclature", identifier, NOMENCLATURES)
    return NOMENCLATURES[identifier]


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
