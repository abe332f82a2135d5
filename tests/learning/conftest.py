"""A small store and settings that train in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_archives import make_store

from geolulc.learning import TrainConfig


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 40 patches (20 train, 10 val, 10 test) whose pixels carry their labels."""
    return make_store(tmp_path_factory.mktemp("learning") / "made.store", 40)


@pytest.fixture
def quick() -> TrainConfig:
    """Two steps an epoch of a network of 0.5 M weights, with everything random switched on."""
    return TrainConfig(
        backbone="test_resnet",
        epochs=3,
        batch_size=8,
        ema_decay=0.9,
        drop_rate=0.2,
        mixup=0.3,
        spectral_jitter=0.05,
        workers=0,
    )
