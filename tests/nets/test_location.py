"""Class evidence of places: its mean over a patch is the patch's answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_nets import make_net, make_patches
from test_fusions import randomise

from geolulc.errors import ParameterError
from geolulc.nets.location import evidence, require_location


@pytest.mark.parametrize(
    "options",
    [
        {"trunk": "shallow", "image_size": 60, "backbone": "resnet18"},
        {"attention": "cbam", "fusion": "intermediate"},
        {"backbone": "convnextv2_atto"},
        {"backbone": "efficientnet_b0", "fusion": "late"},
        {"backbone": "convnextv2_atto", "fusion": "late"},
        {"backbone": "resnet50", "fusion": "intermediate"},
        {"label_correlation": "on", "cooccurrence": np.full((19, 19), 0.04) + 0.1 * np.eye(19)},
    ],
    ids=str,
)
def test_evidence_pooled_is_the_answer(options: dict) -> None:
    net = make_net(**options).eval()
    randomise(net.fusion)
    groups = net.preprocess(*make_patches())
    with torch.inference_mode():
        places, logits = evidence(net, *groups), net.classify(*groups)
    assert places.shape[:2] == logits.shape
    assert min(places.shape[2:]) > 1
    assert places.std(dim=(2, 3)).min() > 0
    scale = 1 + logits.abs().max()
    assert torch.allclose(places.mean(dim=(2, 3)) / scale, logits / scale, atol=1e-4)
    require_location(net)


def test_evidence_grows_where_the_class_is() -> None:
    """A shallow net that counts red: its evidence is high on the red quarter."""
    net = make_net(trunk="shallow").eval()
    b10, b20, b60 = (b.int() for b in make_patches(1))
    b10[:], b20[:], b60[:] = 500, 500, 500
    b10[:, :, :60, :60] = 4000
    with torch.inference_mode():
        groups = net.preprocess(b10, b20, b60)
        channels = net.fusion.head.in_features // 2
        net.fusion.head.weight.zero_()
        net.fusion.head.weight[:, :channels] = 1.0
        places = evidence(net, *groups)[0, 0]
    half = places.shape[0] // 2
    quarter, rest = places[:half, :half].mean(), places[half + 1 :].mean()
    assert abs(quarter - rest) > 0.1


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "mixer_s32_224"])
def test_tokens_have_no_place(backbone: str) -> None:
    with pytest.raises(ParameterError, match=r"location with m1: .*without a map of features"):
        require_location(make_net(backbone=backbone).eval(), "m1")
