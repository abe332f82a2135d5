"""Classes of labels: the values of a column, by a nomenclature or as one of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.errors import ParameterError
from geolulc.labelling.colors import distinct_colors
from geolulc.nomenclature import IGNORED, Nomenclature, nomenclature_of
from geolulc.safe_texts import one_line

#: A feature without a value.
NOTHING: Final = -1
_SHOWN: Final = 5
_HIGHEST: Final = 65534


def texts_of(values: Sequence[Any]) -> list[str]:
    """Values of a column as texts: "" for missing ones, whole numbers without a point."""
    return [_text(value) for value in values]


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN, NaT and pandas' NA are not themselves
        return ""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return one_line(value)


def made_nomenclature(texts: Sequence[str], field: str) -> Nomenclature:
    """A nomenclature of the values of the column ``field``, in distinguishable colours.

    Whole numbers from 0 to 65534 are their own codes; otherwise codes count the names, in their
    order, from 1.

    Raises:
        ParameterError: no value, or more than there can be classes.
    """
    names = sorted(set(texts) - {""}, key=lambda name: (len(name), name) if name.isdigit() else
                   (0, name))  # fmt: skip
    if not 0 < len(names) <= IGNORED:
        raise ParameterError(
            f"column {field!r}",
            found=f"{len(names)} different values",
            expected=f"1 to {IGNORED} classes",
            remedy="Name the column of classes with --field.",
        )
    numbers = all(re.fullmatch(r"\d{1,5}", n) and int(n) <= _HIGHEST for n in names)
    codes = [int(name) if numbers else number for number, name in enumerate(names, start=1)]
    classes = [
        {"name": name, "code": code, "color": color}
        for name, code, color in zip(names, codes, distinct_colors(len(names)), strict=True)
    ]
    identifier = re.sub(r"[^\w.-]+", "-", field)[:100] or "classes"
    return nomenclature_of({"id": identifier, "title": field, "classes": classes})


def positions_of(
    texts: Sequence[str], field: str, classes: Nomenclature, *, skip_unknown: bool = False
) -> NDArray[np.int32]:
    """int32 (n,): position of the class of each text, by its name or code; ``NOTHING`` for "".

    With ``skip_unknown`` also for texts that are neither.

    Raises:
        ParameterError: texts that are neither name nor code of a class.
    """
    by_text = {str(c.code): p for p, c in enumerate(classes.classes)}
    by_text |= {c.name: p for p, c in enumerate(classes.classes)} | {"": NOTHING}
    unknown = sorted(set(texts) - by_text.keys())
    if unknown and not skip_unknown:
        near = get_close_matches(unknown[0], classes.names, n=_SHOWN, cutoff=0.0)
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise ParameterError(
            f"column {field!r}",
            found=f"{', '.join(map(repr, unknown[:_SHOWN]))}{more}",
            expected=f"names or codes of {classes.id}, such as {', '.join(near)}",
            remedy="Add the classes to the nomenclature, or leave such features out "
            "(--skip-unknown).",
        )
    return np.array([by_text.get(text, NOTHING) for text in texts], np.int32)
