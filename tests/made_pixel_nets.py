"""Fully convolutional stand-ins for pixel networks, with the same contract."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geolulc.bands import BAND_NAMES, GROUPS
from geolulc.nets import LandCoverNet, Model, NetConfig, Normalisation

RED = GROUPS[10].index("B04")


class Itself(nn.Module):
    """Probability of the second class = DN of B04 / 32768, pixel by pixel."""

    multiple, margin = 240, 0

    def forward(self, x10: Tensor, x20: Tensor, x60: Tensor, border: int = 0) -> Tensor:
        share = (x10[:, RED] / 32768).clamp(1e-6, 1 - 1e-6)
        return without(torch.stack([torch.log(1 - share), torch.log(share)], dim=1), border)


class Blurred(nn.Module):
    """The mean of B04 around a pixel, ``reach`` pixels to each side, zeros beyond the window.

    A window's border changes what it says up to ``reach`` pixels inside: margins must be as wide.
    """

    multiple = 480

    def __init__(self, reach: int = 30, margin: int = 300) -> None:
        super().__init__()
        self.margin = margin
        side = 2 * reach + 1
        self.pool = nn.Sequential(
            nn.AvgPool2d((side, 1), stride=1, padding=(reach, 0)),
            nn.AvgPool2d((1, side), stride=1, padding=(0, reach)),
        )

    def forward(self, x10: Tensor, x20: Tensor, x60: Tensor, border: int = 0) -> Tensor:
        red = self.pool(x10[:, RED : RED + 1])
        return without(torch.cat([red, -red], dim=1), border)


def without(x: Tensor, border: int) -> Tensor:
    """``x`` on the grid of 10 m without so many metres on each side."""
    less = border // 10
    return x[..., less : x.shape[-2] - less, less : x.shape[-1] - less]


def make_pixel_model(
    fusion: nn.Module, *, mean: float = 0.0, std: float = 1.0, level: str = "L2A"
) -> Model:
    """A pixel model of two classes; by default it sees DN as they are."""
    net = LandCoverNet(
        fusion,
        config=NetConfig(task="pixel"),
        level=level,
        classes=("Arable land", "Inland waters"),
        nomenclature="ben19",
        normalisation=Normalisation(
            mean=dict.fromkeys(BAND_NAMES, mean), std=dict.fromkeys(BAND_NAMES, std)
        ),
    )
    return Model(net.eval(), name="pixels")
