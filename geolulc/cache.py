"""The folder of what geolulc keeps between runs and can make, or fetch, again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/geolulc``, or ``~/.cache/geolulc``; whether it is there or not."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "geolulc"
