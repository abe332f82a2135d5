"""A nomenclature of a user: the file of one, or the name of a built-in one."""

from __future__ import annotations

import tomllib
from pathlib import Path

from geolulc.errors import GeolulcError, ParameterError
from geolulc.nomenclature import BUILT_IN, Nomenclature, nomenclature_of


def read_class_file(path: Path) -> Nomenclature:
    """The nomenclature in the TOML file ``path``, or the built-in one of that name.

    Raises:
        ParameterError: the file is missing, no TOML, or no nomenclature.
    """
    if str(path) in BUILT_IN and not path.exists():
        return nomenclature_of(str(path))
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ParameterError(
            path,
            found=getattr(error, "strerror", None) or error,
            expected=f"a nomenclature: a TOML file, or one of {', '.join(BUILT_IN)}",
            remedy="Correct the file, or its path.",
        ) from error
    try:
        return nomenclature_of(values)
    except GeolulcError as error:
        raise error.within(path, remedy="Correct the file.") from error
