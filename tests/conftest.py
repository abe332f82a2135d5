"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# two test processes share two cores: more threads each would only get in each other's way
os.environ.setdefault("OMP_NUM_THREADS", "1")

# a busy machine is no failure; pytest-timeout names what waits for ever
settings.register_profile("geolulc", deadline=None)
settings.load_profile("geolulc")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the real data (``GEOLULC_SHARED``, default ``../shared``); skips where absent."""
    folder = Path(os.environ.get("GEOLULC_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"real data not found at {folder}: set GEOLULC_SHARED to its folder")
    return folder.resolve()
