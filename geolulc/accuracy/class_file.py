"""A nomenclature in a TOML file: ``id``, ``title`` and a table for each class."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from geolulc.errors import GeolulcError, ParameterError
from geolulc.nomenclature import LandCoverClass, Nomenclature
from geolulc.validated import STRICT, Validated


@dataclass(frozen=True, config=STRICT)
class _ClassTable(Validated):
    """A table of ``classes``; ``parent``, ``clc`` and ``description`` are for other readers."""

    name: Annotated[str, Field(min_length=1)]
    code: Annotated[int, Field(ge=0, le=65535)]
    color: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
    short: str = ""
    parent: str = ""
    clc: int | list[int] = Field(default_factory=list)
    description: str = ""

    @property
    def land_cover(self) -> LandCoverClass:
        clc = (self.clc,) if isinstance(self.clc, int) else tuple(self.clc)
        return LandCoverClass(self.name, self.short or self.name, self.code, self.color, clc)


@dataclass(frozen=True, config=STRICT)
class _NomenclatureFile(Validated):
    id: str
    title: str
    classes: Annotated[list[dict[str, Any]], Field(min_length=1)]


def read_class_file(path: Path) -> Nomenclature:
    """The nomenclature in ``path``.

    The file has ``id``, ``title`` and an array of tables ``classes``; each has ``name``, ``code``
    (0 to 65535) and ``color`` ("#rrggbb"), and may have ``short``, ``parent``, ``clc`` and
    ``description``.

    Raises:
        ParameterError: the file is missing, no TOML, lacks something, has something else, or
            names a class or code twice.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ParameterError(
            path,
            found=getattr(error, "strerror", None) or error,
            expected="a nomenclature: a TOML file",
            remedy="Correct the file, or its path.",
        ) from error
    try:
        file = _NomenclatureFile.from_mapping(values)
        tables = [_ClassTable.from_mapping(table) for table in file.classes]
    except GeolulcError as error:
        raise error.within(path, remedy="Correct the file.") from error
    for what, given in (("name", [t.name for t in tables]), ("code", [t.code for t in tables])):
        value, times = Counter(given).most_common(1)[0]
        if times > 1:
            raise ParameterError(
                path,
                found=f"{times} classes of the {what} {value!r}",
                expected=f"classes that differ in their {what}",
                remedy="Correct the file.",
            )
    return Nomenclature(file.id, file.title, tuple(table.land_cover for table in tables))
