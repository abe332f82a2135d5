"""Nomenclatures of users: TOML files, and the classes of a QGIS style."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from geolulc.errors import GeolulcError, ParameterError
from geolulc.nomenclature import BUILT_IN, Nomenclature, nomenclature, nomenclature_of
from geolulc.text_files import TextFiles

_FILES: Final = TextFiles(
    ParameterError,
    f"a nomenclature: a TOML file, a QGIS style (.qml), or one of {', '.join(BUILT_IN)}",
    "Correct the file, or its path.",
    1 << 20,
)


def find_nomenclature(place: Path | str) -> Nomenclature:
    """The nomenclature in a file, or the built-in one of that name.

    Args:
        place: a TOML file with ``id``, ``title`` and ``classes``; a QGIS style (.qml) of a raster
            of classes; or the name of a built-in one, where no file has it.

    Raises:
        ParameterError: no such file, or it holds no nomenclature.
    """
    path = Path(place)
    if str(place) in BUILT_IN and not path.exists():
        return nomenclature(str(place))
    text = _FILES.text(path)
    try:
        values = _style(path, text) if path.suffix.lower() == ".qml" else tomllib.loads(text)
    except (ValueError, RecursionError, ParseError, DefusedXmlException) as error:
        raise _FILES.unusable(path, str(error) or type(error).__name__) from error
    try:
        return nomenclature_of(values)
    except GeolulcError as error:
        raise error.within(path, remedy="Correct the file.") from error


def as_toml(classes: Nomenclature) -> str:
    """The text of a file that ``find_nomenclature`` reads."""
    values = classes.as_mapping()
    lines = [f"{key} = {_value(values[key])}" for key in ("id", "title")]
    for entry in values["classes"]:
        lines += ["", "[[classes]]", *(f"{key} = {_value(v)}" for key, v in entry.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    # texts and lists of JSON are such of TOML; a control character beyond ASCII must be escaped
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _style(path: Path, text: str) -> dict[str, Any]:
    """Values of a nomenclature from the entries of a paletted raster's style."""
    classes = [
        {
            "name": (entry.get("label") or entry.get("value") or "").strip(),
            "code": int(float(entry.get("value") or "")),
            "color": (entry.get("color") or "")[:7],
        }
        for entry in fromstring(text, forbid_dtd=False).iter("paletteEntry")
    ]
    identifier = "".join(c if c.isalnum() or c in "_.-" else "-" for c in path.stem)
    return {"id": identifier or "style", "title": path.stem, "classes": classes}
