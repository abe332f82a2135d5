"""What the tests of this room share."""

from __future__ import annotations

import pytest

from geolulc.datasets import lists


@pytest.fixture(autouse=True)
def _without_bigearthnet_common(monkeypatch: pytest.MonkeyPatch) -> None:
    # its lists would be found where it is installed, and the tests say what is found where
    monkeypatch.setattr(lists, "_package_folder", lambda: None)
