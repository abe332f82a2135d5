"""Land-cover nomenclatures: lists of classes with names, codes and colours, as values.

A nomenclature is a TOML file: ``id``, ``title`` and a list ``classes``. The built-in ones are in
``nomenclatures/*.toml``, with their sources; a user's own has the same form. It travels whole into
stores, checkpoints and maps, which are read without any built-in table.

Classes are always found by name: the official order of BigEarthNet's 19 classes is Urban fabric
first, and an alphabetical one is in circulation too. Codes are the file's, never renumbered.
"""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from functools import cache, cached_property
from typing import Annotated, Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from geolulc.errors import ParameterError, require_one_of
from geolulc.safe_texts import one_line
from geolulc.validated import STRICT, Validated

#: Codes of classes: uint8 or uint16.
Codes = NDArray[np.unsignedinteger[Any]]
#: Code of a cell or pixel without a class, in nomenclatures that have no class 0.
NO_CLASS: Final = 0
#: Position of a pixel that is of no class of a nomenclature, in arrays of positions.
IGNORED: Final = 255
#: CORINE level-3 codes have three digits; a reference map holds others where nothing is known.
_CLC_CODES: Final = 1000
#: Names of the built-in nomenclatures, those of models trained on BigEarthNet first.
BUILT_IN: Final = (
    *("ben19", "clc43", "clc1", "clc2"),
    *("dynamicworld", "worldcover", "esri", "igbp"),
)


@dataclass(frozen=True, config=STRICT)
class LandCoverClass(Validated):
    """A class.

    Attributes:
        name: unique in its nomenclature.
        code: its value in rasters, 0..65534, unique in its nomenclature.
        color: "#rrggbb".
        short: a name for narrow places; the name itself where none is given.
        parent: the name of the class that it belongs to in a coarser nomenclature; "" for none.
        clc: the CORINE level-3 codes that it holds.
        holds: names of classes of finer nomenclatures that it holds.
        description: a sentence on it.
    """

    name: Annotated[str, Field(min_length=1, max_length=500)]
    code: Annotated[int, Field(ge=0, le=65534)]
    color: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
    short: str = ""
    parent: str = ""
    clc: tuple[Annotated[int, Field(gt=0, lt=_CLC_CODES)], ...] = ()
    holds: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] = ()
    description: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if one_line(self.name) != self.name:
            raise ParameterError(
                f"class {one_line(self.name)!r}",
                found="control characters in its name",
                expected="a name in one line",
                remedy="Correct the name.",
            )
        if not self.short:
            object.__setattr__(self, "short", self.name)
        return self

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green, blue, 0..255."""
        return int(self.color[1:3], 16), int(self.color[3:5], 16), int(self.color[5:7], 16)


@dataclass(frozen=True, config=STRICT)
class Nomenclature(Validated):
    """An ordered list of classes under an ``id``."""

    id: Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")]
    title: Annotated[str, Field(max_length=500)]
    classes: Annotated[tuple[LandCoverClass, ...], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for what in ("name", "code"):
            values = [getattr(c, what) for c in self.classes]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ParameterError(
                    f"nomenclature {self.id}",
                    found=f"the {what} {twice[0]!r} twice",
                    expected=f"each {what} once",
                    remedy="Correct the classes.",
                )
        return self

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

    @property
    def nodata(self) -> int:
        """Value of cells without a class: 0, or where a class has that code 255 or 65535."""
        if all(c.code != NO_CLASS for c in self.classes):
            return NO_CLASS
        return int(np.iinfo(self.code_type).max)

    @property
    def code_type(self) -> type[np.uint8 | np.uint16]:
        """Type of arrays and rasters of codes; its highest value is no code."""
        return np.uint8 if max(c.code for c in self.classes) < 255 else np.uint16

    def as_mapping(self) -> dict[str, Any]:
        """What ``nomenclature_of`` reads: JSON-able, without fields that say nothing."""
        return {"id": self.id, "title": self.title, "classes": [_plain(c) for c in self.classes]}

    def only(self, names: Iterable[str]) -> Nomenclature:
        """The classes of ``names`` alone, in their order."""
        return replace(self, classes=tuple(self[name] for name in names))

    def agrees(self, other: Nomenclature) -> bool:
        """Whether both have the same names with the same codes, in any order."""
        return {(c.name, c.code) for c in self.classes} == {(c.name, c.code) for c in other.classes}

    def holders(self, classes: Iterable[LandCoverClass]) -> list[str | None]:
        """For each of ``classes``, of a finer nomenclature, the class of this one that holds it.

        A class is held by the one that lists it (``holds``), else by the one with all its CORINE
        codes, by its ``parent``, or by the one of its name. None: by no class.

        Raises:
            ParameterError: no class is held, or one by a part of several.
        """
        found = [(c, self._holders(c)) for c in classes]
        split = [
            c for c, holders in found if len(holders) > 1 or (not holders and self._touches(c))
        ]
        if split or not any(holders for _, holders in found):
            some = ", ".join(c.name for c in (split or [c for c, _ in found])[:3])
            raise ParameterError(
                f"nomenclature {self.id}",
                found=f"no single class that holds all of {some}",
                expected="each class of the finer nomenclature within one",
                remedy="Give a TOML file whose classes list them: holds = [...].",
            )
        return [holders[0] if holders else None for _, holders in found]

    def _holders(self, fine: LandCoverClass) -> list[str]:
        listed = [c.name for c in self.classes if fine.name in c.holds]
        if listed:
            return listed
        if fine.clc and any(c.clc for c in self.classes):
            return [c.name for c in self.classes if set(fine.clc) <= set(c.clc)]
        return [name for name in (fine.parent, fine.name) if name in self.names][:1]

    def _touches(self, fine: LandCoverClass) -> bool:
        """Whether a class has some of the CORINE codes of ``fine``."""
        return any(set(fine.clc) & set(c.clc) for c in self.classes)

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


def _plain(land_cover: LandCoverClass) -> dict[str, Any]:
    values = {f.name: getattr(land_cover, f.name) for f in fields(land_cover)}
    if land_cover.short == land_cover.name:
        del values["short"]
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v or v == 0}


def nomenclature_of(values: Nomenclature | Mapping[str, Any] | str) -> Nomenclature:
    """A nomenclature as it is, from parsed TOML or JSON, or a built-in one by its ``id``.

    Raises:
        ParameterError: something is missing, unknown, of another type or given twice.
    """
    if isinstance(values, Nomenclature):
        return values
    if isinstance(values, str):
        return nomenclature(values)
    classes = values.get("classes")
    if isinstance(classes, list):
        made = []
        for entry in classes:
            if not isinstance(entry, dict):
                raise ParameterError(
                    "classes", found=repr(entry)[:80], expected="tables", remedy="Correct it."
                )
            lists = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
            made.append(LandCoverClass.from_mapping(lists))
        values = {**values, "classes": tuple(made)}
    return Nomenclature.from_mapping(values)


@cache
def _built_in(identifier: str) -> Nomenclature:
    file = importlib.resources.files("geolulc").joinpath("nomenclatures", f"{identifier}.toml")
    return nomenclature_of(tomllib.loads(file.read_text(encoding="utf-8")))


#: The CORINE level-3 classes that occur in BigEarthNet (all but glaciers), with CORINE's colours.
CLC43: Final = _built_in("clc43")
#: BigEarthNet's 19 classes in the official order.
BEN19: Final = _built_in("ben19")

_BEN19_OF_CLC: Final = {code: c.name for c in BEN19.classes for code in c.clc}


def nomenclature(identifier: str) -> Nomenclature:
    """The built-in nomenclature with that ``id``; ``ParameterError`` for any other."""
    require_one_of("nomenclature", identifier, BUILT_IN)
    return _built_in(identifier)


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
