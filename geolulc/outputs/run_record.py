"""The record of what made a map: a tag of all its files, by which a later run knows its own.

It holds the inputs, by digests, and every option that shapes the result, by the names of the
options. Two runs with equal records write equal maps, on equal machines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from geolulc.errors import OutputError

#: The tag: a JSON object.
RUN: Final = "GEOLULC_RUN"
#: So many characters of a digest tell it from others, for people.
_SHOWN: Final = 12


def run_of(tags: Mapping[str, str]) -> dict[str, Any]:
    """The record in the tags of a file; {} in those of an older version, or of a stranger."""
    try:
        found = json.loads(tags.get(RUN, "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def run_tag(record: Mapping[str, Any]) -> dict[str, str]:
    """The tag of a record."""
    return {RUN: json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))}


def require_same_run(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """``OutputError`` that says how the record of the map at ``path`` differs from a run's own."""
    expected = run_of(run_tag(expected))  # tuples are lists in JSON
    changed = sorted(k for k in {*found, *expected} if found.get(k) != expected.get(k))
    if changed:
        raise OutputError(
            path,
            found=f"a map made with {_listed(found, changed)}",
            expected=f"one with {_listed(expected, changed)}",
            remedy="Give another folder, or --overwrite to replace it.",
        )


def _listed(record: Mapping[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} {_shown(record.get(name))}" for name in names)


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ",".join(map(_shown, value)) or "none"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text[:_SHOWN] if len(text) >= 64 else text
