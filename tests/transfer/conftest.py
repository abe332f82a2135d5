"""A store of three small regions, and settings that train in a second."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from made_regions import CLASSES, SIGNALS, MadeRegion, make_region_store

from geolulc.datasets import Store, open_store
from geolulc.learning import TrainConfig
from geolulc.transfer import Region, find_regions

A, B, C, D = CLASSES


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """16 patches each of Austria (A, B, C), Finland (A, B, C) and Kosovo (B, C, D)."""
    made = [
        MadeRegion("Austria", {A: 0.5, B: 0.4, C: 0.3}, SIGNALS),
        MadeRegion("Finland", {A: 0.2, B: 0.3, C: 0.6}, SIGNALS),
        MadeRegion("Kosovo", {B: 0.4, C: 0.3, D: 0.6}, SIGNALS),
    ]
    folder = tmp_path_factory.mktemp("transfer") / "three.store"
    return open_store(make_region_store(folder, made, 16))


@pytest.fixture(scope="session")
def regions(three: Store) -> Mapping[str, Region]:
    """Its countries."""
    return find_regions(three)


@pytest.fixture
def quick() -> TrainConfig:
    """Two epochs at 32 × 32 pixels."""
    return TrainConfig(
        backbone="test_resnet", image_size=32, epochs=2, batch_size=8, ema_decay=0.9, workers=0
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where an experiment goes."""
    return tmp_path / "experiment"
