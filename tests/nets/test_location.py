"""Class evidence of places: its mean over a patch is the patch's answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_nets import make_net, make_patches
from test_fusions import randomise
from test_snapshots import make_snapshot

from geolulc.errors import ParameterError
from geolulc.nets import load_checkpoint
from geolulc.nets.dilation import dilate
from geolulc.nets.location import evidence, evidence_grid, require_location


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
        {"pixel_classes": 4, "trunk": "shallow", "backbone": "resnet10t"},
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


@pytest.mark.parametrize("backbone", ["resnet18", "convnextv2_atto"])
def test_published_models_have_evidence_too(tmp_path: Path, backbone: str) -> None:
    net = load_checkpoint(make_snapshot(tmp_path / f"{backbone}-s2-v0.2.0", backbone)).net
    groups = net.preprocess(*make_patches()[: len(net.bands)])
    with torch.inference_mode():
        places, logits = evidence(net, *groups), net.classify(*groups)
    assert places.std(dim=(2, 3)).min() > 0
    scale = 1 + logits.abs().max()
    assert torch.allclose(places.mean(dim=(2, 3)) / scale, logits / scale, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"trunk": "shallow"}, {"fusion": "late"}], ids=str)
def test_a_finer_grid_keeps_the_old_places(options: dict) -> None:
    net = make_net(backbone="resnet18", **options).eval()
    randomise(net.fusion)
    places, spacing = evidence_grid(net)
    assert dilate(net, 2 * round(spacing))  # nothing to do
    groups = net.preprocess(*make_patches(1))
    with torch.inference_mode():
        coarse = evidence(net, *groups)
        assert dilate(net, round(spacing) // 2)
        fine = evidence(net, *groups)
    finer, half = evidence_grid(net)
    assert half == spacing / 2
    assert torch.equal(finer[::2], places)
    if "trunk" not in options and "fusion" not in options:
        # away from the border, which is met at another distance, places say what they said
        assert torch.allclose(fine[:, :, 2:-2:2, 2:-2:2], coarse[:, :, 1:-1, 1:-1], rtol=0.2)


def test_coarser_parts_of_late_fusion_lie_on_their_ground() -> None:
    """Features of trunks that pad lie on their first pixels: of 20 m bands at 0 and 640 m."""
    net = make_net(backbone="resnet18", fusion="late").eval()
    randomise(net.fusion)
    first = net.fusion.encoder10.num_features
    second = first + net.fusion.encoder20.num_features
    with torch.no_grad():
        net.fusion.head.weight[:, :first] = 0
        net.fusion.head.weight[:, second:] = 0
        places = evidence(net, *net.preprocess(*make_patches(1)))[0]
    at, spacing = evidence_grid(net)
    assert (at.tolist(), spacing) == ([0, 320, 640, 960], 320)
    for line in (places, places.transpose(1, 2)):
        assert (line[:, 0] - line[:, 2]).abs().max() > 1e-3
        torch.testing.assert_close(line[:, 1], (line[:, 0] + line[:, 2]) / 2)
        torch.testing.assert_close(line[:, 3], line[:, 2])


def test_squares_cannot_be_taken_closer() -> None:
    net = make_net(backbone="convnextv2_atto").eval()
    places, spacing = evidence_grid(net)
    assert spacing == 300
    assert places.tolist() == [150, 450, 750, 1050]
    assert not dilate(net, 160)
    assert evidence_grid(net)[1] == 300
    # images of 120 pixels lose what fills no square
    older = make_net(backbone="convnextv2_atto", image_size=120).eval()
    places, spacing = evidence_grid(older)
    assert (places.tolist(), spacing) == ([160, 480, 800], 320)


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "mixer_s32_224"])
def test_tokens_have_no_place(backbone: str) -> None:
    with pytest.raises(ParameterError, match=r"location with m1: .*without a map of features"):
        require_location(make_net(backbone=backbone).eval(), "m1")
