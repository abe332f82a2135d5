"""BigEarthNet archives → datadings store → batches.

``prepare_store`` writes a store, ``open_store`` reads one. torch is only in ``loader``; rasterio
is loaded when something is prepared. The names of ``__init__.pyi`` are loaded when first used.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
