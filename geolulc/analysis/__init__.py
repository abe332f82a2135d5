"""Questions to written maps: a map by windows, its description, zones, and two maps compared.

Names are loaded when first used: the command line asks for few of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_LAZY = {
    "MapFile": "geolulc.analysis.map_file",
    "compare_files": "geolulc.analysis.compare",
    "describe_map": "geolulc.analysis.description",
    "open_map": "geolulc.analysis.map_file",
    "read_map": "geolulc.analysis.map_file",
    "sibling": "geolulc.analysis.map_file",
    "summarize_map": "geolulc.analysis.zones",
    "summarize_zones": "geolulc.analysis.zones",
}

if TYPE_CHECKING:
    from geolulc.analysis.compare import compare_files
    from geolulc.analysis.description import describe_map
    from geolulc.analysis.map_file import MapFile, open_map, read_map, sibling
    from geolulc.analysis.zones import summarize_map, summarize_zones

__all__ = [
    "MapFile",
    "compare_files",
    "describe_map",
    "open_map",
    "read_map",
    "sibling",
    "summarize_map",
    "summarize_zones",
]


def __getattr__(name: str) -> Any:
    try:
        module = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
