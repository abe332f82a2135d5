"""From region to region: what a model of one is worth in another, and how to foresee and mend it.

torch is loaded when a function is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from geolulc.transfer.settings import TransferConfig

if TYPE_CHECKING:
    from geolulc.transfer.experiment import run_transfer
    from geolulc.transfer.plan import Plan, make_plan
    from geolulc.transfer.regions import Region, find_regions

_LAZY = {
    "Plan": "plan",
    "Region": "regions",
    "find_regions": "regions",
    "make_plan": "plan",
    "run_transfer": "experiment",
}

__all__ = ["Plan", "Region", "TransferConfig", "find_regions", "make_plan", "run_transfer"]


def __getattr__(name: str) -> Any:
    try:
        module = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
