"""Frozen facts beside found ones: what differs, by the path of its key."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import rasterio
import shapely
from golden.intended import INTENDED
from golden.making import VERSION

FOLDER = Path(__file__).parent
FROZEN, TEXTS = FOLDER / "frozen", FOLDER / "texts"
#: Part of a key path → relative tolerance of its numbers, the first that fits.
_TOLERANCES = (
    # a logarithm in float32 hangs on the CPU
    ("*sums*", 1e-6),
    ("*entropy*", 1e-6),
    ("*uncertainty*statistics*", 1e-6),
    ("*", 1e-9),
)
_NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Difference:
    """Two values of one key."""

    path: str
    frozen: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.path}\n    frozen: {_short(self.frozen)}\n    found:  {_short(self.found)}"


def machine() -> dict[str, str]:
    """What the last digit of some values hangs on."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return {
        "machine": platform.machine(),
        "avx512": str(" avx512f" in flags),
        "avx2": str(" avx2" in flags),
        "numpy": importlib.metadata.version("numpy"),
        "gdal": rasterio.__gdal_version__,
        "geos": ".".join(map(str, shapely.geos_version)),
        "pyproj": importlib.metadata.version("pyproj"),
    }


class Comparison:
    """A case's frozen facts beside those that are found now."""

    def __init__(
        self,
        case: str,
        frozen: Mapping[str, Any],
        texts: Mapping[str, str],
        *,
        folder: Path = TEXTS,
    ) -> None:
        """``texts``: those that the found facts refer to; the frozen ones are in ``folder``."""
        self._frozen, self._texts, self._folder = frozen, texts, folder
        made_with = frozen["made with"]
        self._same_machine = {k: v for k, v in made_with.items() if k != "geolulc"} == machine()
        self._same_version = made_with["geolulc"] == VERSION
        self._intended = [
            pattern
            for cases, patterns in INTENDED.items()
            if fnmatchcase(case, cases)
            for pattern in patterns
        ]

    def differences(self, found: Any) -> list[Difference]:
        """Those that are not intended."""
        return [
            difference
            for difference in self._walk("", self._frozen["facts"], found)
            if not any(fnmatchcase(difference.path, pattern) for pattern in self._intended)
        ]

    def _walk(self, path: str, frozen: Any, found: Any) -> Iterator[Difference]:
        if isinstance(frozen, dict) and isinstance(found, dict):
            if "$text" in frozen and "$text" in found:
                yield from self._texts_apart(path, frozen["$text"], found["$text"])
                return
            within = frozen.get("$within")
            for key in {**frozen, **found}:
                here = f"{path}/{key}"
                if key not in frozen or key not in found:
                    yield Difference(here, frozen.get(key, "absent"), found.get(key, "absent"))
                elif key == "$near":
                    yield from _far(here, frozen[key], found[key], within)
                elif key == "$sure":
                    yield from _other_codes(here, frozen[key], found[key])
                else:
                    yield from self._walk(here, frozen[key], found[key])
        elif isinstance(frozen, list) and isinstance(found, list):
            if len(frozen) != len(found):
                yield Difference(path, frozen, found)
                return
            for i, (one, other) in enumerate(zip(frozen, found, strict=True)):
                yield from self._walk(f"{path}/{i}", one, other)
        elif not self._alike(path, frozen, found):
            yield Difference(path, frozen, found)

    def _alike(self, path: str, frozen: Any, found: Any) -> bool:
        if isinstance(frozen, str) and isinstance(found, str):
            if frozen.startswith("bound:") and not self._same_machine:
                return found.startswith("bound:")
            if frozen.startswith("bound-version:"):
                same = self._same_machine and self._same_version
                return frozen == found if same else found.startswith("bound-version:")
        numbers = [isinstance(v, (int, float)) and not isinstance(v, bool) for v in (frozen, found)]
        if all(numbers) and (isinstance(frozen, float) or isinstance(found, float)):
            tolerance = next(t for pattern, t in _TOLERANCES if fnmatchcase(path.lower(), pattern))
            return math.isclose(frozen, found, rel_tol=tolerance, abs_tol=1e-12)
        return type(frozen) is type(found) and bool(frozen == found)

    def _texts_apart(self, path: str, frozen: str, found: str) -> Iterator[Difference]:
        if frozen == found:
            return
        before = (self._folder / f"{frozen}.txt").read_text(encoding="utf-8").split("\n")
        after = self._texts[found].split("\n")
        count = 0
        for i in range(max(len(before), len(after))):
            one = before[i] if i < len(before) else "absent"
            other = after[i] if i < len(after) else "absent"
            if not self._lines_alike(path, one, other):
                yield Difference(f"{path}:{i + 1}", one, other)
                count += 1
                if count == 20:  # a line too many, and all that follow differ
                    yield Difference(f"{path}:{i + 2}…", "…", "…")
                    return

    def _lines_alike(self, path: str, one: str, other: str) -> bool:
        if one == other:
            return True
        if _NUMBER.split(one) != _NUMBER.split(other):
            return False
        pairs = zip(_NUMBER.findall(one), _NUMBER.findall(other), strict=True)
        return all(self._alike(path, float(a), float(b)) for a, b in pairs)


def _far(path: str, frozen: list[float], found: list[float], within: float) -> Iterator[Difference]:
    if len(frozen) != len(found):
        yield Difference(path, frozen, found)
        return
    for i, (one, other) in enumerate(zip(frozen, found, strict=True)):
        # no data is never near a value
        if abs(one - other) > within:
            yield Difference(f"{path}/{i}", one, other)


def _other_codes(
    path: str, frozen: list[int | None], found: list[int | None]
) -> Iterator[Difference]:
    if len(frozen) != len(found):
        yield Difference(path, frozen, found)
        return
    for i, (one, other) in enumerate(zip(frozen, found, strict=True)):
        if None not in (one, other) and one != other:
            yield Difference(f"{path}/{i}", one, other)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 400 else f"{text[:400]}…"
