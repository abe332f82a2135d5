"""BigEarthNet archives → datadings store → batches.

``prepare_store`` writes a store, ``open_store`` reads one. torch is only in ``loader``; rasterio
is loaded when something is prepared.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_LAZY = {
    "BandStatistics": "statistics",
    "BrokenPatchesError": "prepare",
    "GROUP_SHAPES": "patch",
    "Lists": "archives",
    "Patch": "patch",
    "SPLITS": "patch",
    "Selection": "selection",
    "Store": "store",
    "describe_store": "summary",
    "open_store": "store",
    "prepare_store": "prepare",
}

if TYPE_CHECKING:
    from geolulc.datasets.archives import Lists
    from geolulc.datasets.patch import GROUP_SHAPES, SPLITS, Patch
    from geolulc.datasets.prepare import BrokenPatchesError, prepare_store
    from geolulc.datasets.selection import Selection
    from geolulc.datasets.statistics import BandStatistics
    from geolulc.datasets.store import Store, open_store
    from geolulc.datasets.summary import describe_store

__all__ = [
    "GROUP_SHAPES",
    "SPLITS",
    "BandStatistics",
    "BrokenPatchesError",
    "Lists",
    "Patch",
    "Selection",
    "Store",
    "describe_store",
    "open_store",
    "prepare_store",
]


def __getattr__(name: str) -> Any:
    try:
        module = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
