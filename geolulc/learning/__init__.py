"""From a store to a model and its figures. torch is loaded when a function is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from geolulc.learning.config import TrainConfig

if TYPE_CHECKING:
    from geolulc.learning.evaluation import Evaluation, evaluate
    from geolulc.learning.training import train

_LAZY = {
    "Evaluation": "geolulc.learning.evaluation",
    "evaluate": "geolulc.learning.evaluation",
    "train": "geolulc.learning.training",
}

__all__ = ["Evaluation", "TrainConfig", "evaluate", "train"]


def __getattr__(name: str) -> Any:
    try:
        module = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(module), name)
