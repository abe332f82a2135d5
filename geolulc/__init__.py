"""geolulc: from a Sentinel-2 scene to a land-cover map, with fusion models trained on BigEarthNet.

``import geolulc`` loads neither torch nor rasterio; the names of ``__init__.pyi`` are loaded when
they are first used.
"""

from __future__ import annotations

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
