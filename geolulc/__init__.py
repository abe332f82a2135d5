"""geolulc: from a Sentinel-2 scene to a land-cover map, with fusion models trained on BigEarthNet.

``import geolulc`` loads neither torch nor rasterio; names below are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_LAZY = {
    "open_product": "geolulc.products",
    "open_scene": "geolulc.mapping.arrays",
    "predict_pixels": "geolulc.mapping.arrays",
    "predict_scene": "geolulc.mapping.arrays",
    "GeolulcError": "geolulc.errors",
}

if TYPE_CHECKING:
    from geolulc.errors import GeolulcError
    from geolulc.mapping.arrays import open_scene, predict_pixels, predict_scene
    from geolulc.products import open_product

__all__ = [
    "GeolulcError",
    "__version__",
    "open_product",
    "open_scene",
    "predict_pixels",
    "predict_scene",
]


def __getattr__(name: str) -> Any:
    try:
        module = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
