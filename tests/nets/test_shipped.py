"""Every shipped checkpoint loads, and its card and the changelog speak of this very file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from made_nets import make_patches

from geolulc.nets import load_checkpoint, shipped_model
from geolulc.nets.shipped import shipped_models

CHANGELOG = Path(__file__).resolve().parents[2] / "MODEL_CHANGELOG.md"
SHIPPED = sorted(shipped_models().items())


@pytest.mark.parametrize(("name", "file"), SHIPPED, ids=[name for name, _ in SHIPPED])
def test_shipped_checkpoint(name: str, file: Path) -> None:
    model = load_checkpoint(name)
    assert torch.isfinite(model.net(*make_patches(bands=model.net.bands))).all()
    assert file.stat().st_size < 25_000_000
    assert model.sha256 in file.with_suffix(".md").read_text(encoding="utf-8")
    assert model.sha256 in CHANGELOG.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("resolution", "task"), [(None, "patch"), (160, "patch"), (10, "pixel"), (60, "pixel")]
)
def test_the_default_has_the_task_that_the_resolution_asks_for(resolution, task) -> None:
    file = shipped_model(resolution)
    assert file in shipped_models().values()
    assert load_checkpoint(file).net.task == task
    # of two students the small one is not the default, whose name has more letters
    assert file.stem == {"patch": "bigearthnet-few-patches", "pixel": "dynamicworld-student"}[task]
