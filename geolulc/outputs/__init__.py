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
    "compare_files": "geolulc.outputs.comparing",
    "compare_maps": "geolulc.outputs.change",
    "describe_change": "geolulc.outputs.change_files",
    "describe_map": "geolulc.outputs.description",
    "plan_change": "geolulc.outputs.change_files",
    "plan_outputs": "geolulc.outputs.files",
    "read_map": "geolulc.outputs.reading",
    "save_model_item": "geolulc.outputs.model_item",
    "summarize_map": "geolulc.outputs.zone_files",
    "summarize_zones": "geolulc.outputs.zones",
    "write_change": "geolulc.outputs.change_files",
    "write_map": "geolulc.outputs.writing",
    "write_pixel_map": "geolulc.outputs.pixel_writing",
}

if TYPE_CHECKING:
    from geolulc.outputs.change import compare_maps
    from geolulc.outputs.change_files import describe_change, plan_change, write_change
    from geolulc.outputs.comparing import compare_files
    from geolulc.outputs.description import describe_map
    from geolulc.outputs.files import DEFAULT_OUTPUTS, OUTPUTS, plan_outputs
    from geolulc.outputs.model_item import save_model_item
    from geolulc.outputs.options import OutputOptions
    from geolulc.outputs.pixel_writing import write_pixel_map
    from geolulc.outputs.reading import read_map
    from geolulc.outputs.writing import write_map
    from geolulc.outputs.zone_files import summarize_map
    from geolulc.outputs.zones import summarize_zones

__all__ = [
    "DEFAULT_OUTPUTS",
    "OUTPUTS",
    "OutputOptions",
    "compare_files",
    "compare_maps",
    "describe_change",
    "describe_map",
    "plan_change",
    "plan_outputs",
    "read_map",
    "save_model_item",
    "summarize_map",
    "summarize_zones",
    "write_change",
    "write_map",
    "write_pixel_map",
]


def __getattr__(name: str) -> Any:
    try:
        module = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
