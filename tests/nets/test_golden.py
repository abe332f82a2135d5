"""Logits of fixed weights on a fixed patch: a change of any layer or of the preprocessing shows."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from made_nets import make_net
from torch import Tensor

from geolulc.bands import GROUPS
from geolulc.nets import LandCoverNet

#: Fusion → first four logits; with CBAM and label correlation. Made by this very code on a CPU.
GOLDEN: dict[str, list[float]] = {
    "early": [-2.1061, -1.1439, -0.6472, -0.1687],
    "intermediate": [-2.1126, -1.1405, -0.6425, -0.1738],
    "late": [-1.7585, -1.4583, -0.7121, 0.4056],
}


def fixed_patch() -> list[Tensor]:
    """A patch by formula, no random numbers: smooth waves whose length differs by band."""
    groups = []
    for resolution, names in GROUPS.items():
        side = 1200 // resolution
        at = torch.arange(side, dtype=torch.float64) * resolution
        rows, columns = at[:, None], at[None, :]
        images = [
            1500 + 900 * torch.sin(rows / (90 + 17 * i)) * torch.cos(columns / (70 + 23 * i))
            for i in range(len(names))
        ]
        groups.append(torch.stack(images)[None].round().to(torch.int32))
    return groups


def set_by_formula(net: LandCoverNet) -> None:
    """Weights and statistics by formula, scaled so that signals neither die nor explode."""
    with torch.no_grad():
        for k, tensor in enumerate(itertools.chain(net.parameters(), net.fusion.buffers())):
            if not tensor.is_floating_point():
                continue
            wave = torch.sin(torch.arange(tensor.numel(), dtype=torch.float64) * (1.3 + 0.01 * k))
            fan_in = tensor[0].numel() if tensor.ndim > 1 else 0
            values = wave * math.sqrt(3 / fan_in) if fan_in else 1 + 0.1 * wave
            tensor.copy_(values.view(tensor.shape))


@pytest.mark.parametrize("fusion", ["early", "intermediate", "late"])
def test_golden_forward_pass(fusion: str) -> None:
    shares = np.fromfunction(lambda i, j: 0.2 / (1 + abs(i - j)), (19, 19))
    net = make_net(
        fusion=fusion, attention="cbam", label_correlation="on", cooccurrence=shares
    ).eval()
    set_by_formula(net)
    with torch.no_grad():
        logits = net(*fixed_patch())[0, :4]
    assert logits.tolist() == pytest.approx(GOLDEN[fusion], rel=1e-3, abs=1e-3)
