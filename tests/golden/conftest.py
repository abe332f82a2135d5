"""What the golden tests share."""

from __future__ import annotations

import pytest
from golden.cases import Studio


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """Where cases are made; what they share is made once."""
    return Studio(tmp_path_factory.mktemp("golden"))
