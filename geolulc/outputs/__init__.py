"""Files that people open: a map's rasters, vectors and pictures, and what can be asked of them.

Names are loaded when first used: the command line asks for the options alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_LAZY = {
    "DEFAULT_OUTPUTS": "geolulc.outputs.files",
    "OUTPUTS": "geolulc.outputs.files",
    "OutputOptions": "geolulc.outputs.options",
    "describe_map": "geolulc.outputs.description",
    "plan_outputs": "geolulc.outputs.files",
    "write_map": "geolulc.outputs.writing",
}

if TYPE_CHECKING:
    from geolulc.outputs.description import describe_map
    from geolulc.outputs.files import DEFAULT_OUTPUTS, OUTPUTS, plan_outputs
    from geolulc.outputs.options import OutputOptions
    from geolulc.outputs.writing import write_map

__all__ = [
    "DEFAULT_OUTPUTS",
    "OUTPUTS",
    "OutputOptions",
    "describe_map",
    "plan_outputs",
    "write_map",
]


def __getattr__(name: str) -> Any:
    try:
        module = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
