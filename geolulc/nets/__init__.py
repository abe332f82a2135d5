"""Networks: backbones opened up, the fusions, checkpoints.

The names of ``__init__.pyi``, and torch with them, are loaded when they are first used.
"""

from __future__ import annotations

import os

import lazy_loader

# torch reads it at its first large tensor: huge pages. Without them the windows of pixel models
# spend much of their time on page faults, because the C library gives such blocks back each time.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
