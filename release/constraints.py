"""Versions that the tests passed with, of all that geolulc needs: make constraints.

Walks from geolulc through the packages that are installed here. CUDA's own packages stay out: a
torch without CUDA has none, and one with CUDA names their versions itself.
"""

from __future__ import annotations

import re
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("hub", "onnx")
_HEAD = "# versions that the tests passed with; written by make constraints"


def needed(name: str, extras: tuple[str, ...] = ()) -> set[str]:
    """Names of the packages that ``name`` requires here, through all of their own."""
    found: set[str] = set()
    waiting = [(name, extras)]
    while waiting:
        one, of_one = waiting.pop()
        for text in metadata.requires(one) or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *of_one)):
                continue
            other = canonicalize_name(requirement.name)
            if other not in found and not re.match(r"nvidia-|cuda-|triton", other):
                found.add(other)
                waiting.append((other, tuple(requirement.extras)))
    return found


if __name__ == "__main__":
    print(_HEAD)
    for package in sorted(needed("geolulc", EXTRAS)):
        print(f"{package}=={metadata.version(package).split('+')[0]}")
