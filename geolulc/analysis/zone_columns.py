"""The columns of users' zones, as each format can hold them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any, Final

import numpy as np
import pandas

#: Types of numpy that a vector file has another for.
_NARROWER: Final = {"float16": "float32", "longdouble": "float64"}
_LARGEST: Final = np.iinfo(np.int64).max


def distinct_names(
    names: Iterable[Any], taken: Collection[str] = (), *, any_case: bool = False
) -> list[str]:
    """``names`` as texts of which none is among ``taken`` or comes twice: "name", "name_2" …

    Args:
        names: names of columns.
        taken: names of others.
        any_case: names that differ in upper and lower case only count as equal.
    """

    def key(name: str) -> str:
        return name.lower() if any_case else name

    used = {key(name) for name in taken}
    found = []
    for name in map(_text, names):
        new, number = name, 1
        while key(new) in used:
            number += 1
            new = f"{name}_{number}"
        used.add(key(new))
        found.append(new)
    return found


def plain_values(column: Any) -> Any:
    """A pandas Series with values that every format holds: lists and objects as text of JSON."""
    kind = column.dtype
    if isinstance(kind, pandas.CategoricalDtype):
        return plain_values(column.astype(kind.categories.dtype))
    if kind == np.uint64 and column.max() <= _LARGEST:
        return column.astype(np.int64)
    if isinstance(kind, np.dtype) and kind.name in _NARROWER:
        return column.astype(_NARROWER[kind.name])
    if isinstance(kind, np.dtype) and (kind.kind in "cmO" or kind == np.uint64):
        return column.astype(object).map(_plain)
    if pandas.api.types.is_string_dtype(kind):
        return column.astype(object).map(_plain)
    return column


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict | list | tuple | set | np.ndarray):
        return _text(json.dumps(value, ensure_ascii=False, default=_for_json))
    if isinstance(value, bytes):
        return value.hex()
    return None if pandas.isna(value) else _text(value)


def _for_json(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return list(value) if isinstance(value, set) else str(value)


def _text(value: Any) -> str:
    """As text that is UTF-8 and has no NUL, at which files cut it."""
    return str(value).replace("\0", "").encode("utf-8", "backslashreplace").decode()
