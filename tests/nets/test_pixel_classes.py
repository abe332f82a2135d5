"""Patches by the classes of their pixels: what is pooled, what is taken over, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_nets import make_net, make_patches

from geolulc.errors import CheckpointError, ParameterError
from geolulc.learning.networks import freeze_trunk
from geolulc.nets import Model, NetConfig, load_checkpoint, save_checkpoint
from geolulc.nets.label_sets import LabelSets

INSIDE = {"backbone": "dynamicworld_small", "reflectance": "log", "pixel_classes": 9}


@pytest.mark.parametrize("fusion", ["early", "intermediate", "late"])
def test_a_checkpoint_says_the_same_again(fusion: str, tmp_path: Path) -> None:
    sets = LabelSets.of(np.eye(19, dtype=np.uint8), np.full(19, 1 / 19))
    net = make_net(
        backbone="resnet10t",
        fusion=fusion,
        pixel_classes=4,
        label_correlation="sets",
        label_sets=sets,
    ).eval()
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, Model(net))
    patches = make_patches()
    assert torch.equal(load_checkpoint(file).net(*patches), net(*patches))


def test_the_head_sees_mean_and_deviation_of_what_the_student_says() -> None:
    student = load_checkpoint("dynamicworld-student-small")
    net = make_net(pretrained="dynamicworld-student-small", **INSIDE).eval()
    assert net.initialisation["head"] == "taken over, with its last layer"
    patches = make_patches()
    with torch.no_grad():
        said = torch.softmax(student.net(*patches), dim=1)
        inside = torch.softmax(net.fusion.pixels(*net.preprocess(*patches)), dim=1)
        # the border alone differs: what lies beyond it is the mean of other patches
        torch.testing.assert_close(
            inside[..., 40:80, 40:80], said[..., 40:80, 40:80], atol=1e-3, rtol=0
        )
        deviation = (inside.var(dim=(2, 3), unbiased=False) + 1e-5).sqrt()
        pooled = torch.cat([inside.mean(dim=(2, 3)), deviation], dim=1)
        expected = net.fusion.head(net.fusion.norm(pooled).clamp(-3, 3))
        torch.testing.assert_close(net(*patches), expected)


def test_a_frozen_trunk_leaves_the_head_alone_to_learn() -> None:
    net = make_net(**INSIDE)
    freeze_trunk(net)
    learning = {name for name, weights in net.named_parameters() if weights.requires_grad}
    assert learning == {"fusion.head.weight", "fusion.head.bias"}
    assert net.fusion.norm.training
    assert not any(module.training for module in net.fusion.pixels.modules())


def test_a_model_of_other_classes_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"found one of 9 classes of pixels; expected .*as"):
        make_net(pretrained="dynamicworld-student-small", **INSIDE | {"pixel_classes": 8})
    trunk = {"backbone": "resnet10t", "trunk": "shallow", "pixel_classes": 9}
    with pytest.raises(CheckpointError, match="found one of 0 classes of pixels"):
        make_net(pretrained="bigearthnet-few-patches", **trunk)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "pixel", "pixel_classes": 3}, "task pixel: found 3 pixel_classes"),
        ({"image_size": 60, "pixel_classes": 3}, "pixel_classes: found an image_size"),
    ],
)
def test_settings_that_exclude_each_other(settings, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        NetConfig(**settings)


def test_sets_are_asked_for() -> None:
    with pytest.raises(ParameterError, match="found no sets of labels"):
        make_net(label_correlation="sets")
