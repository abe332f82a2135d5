"""Layers at half the resolution: those of Dynamic World's network (Brown et al. 2022).

Pairs of pointwise and depthwise convolutions between a stem and a head: most lie at half the
resolution, where they are cheap, and a pixel's class follows from some 20 pixels around it.
``dynamic_world.py`` runs them as they are published; ``HalfResolutionFusion`` is trained here, of
any bands and classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from geolulc.datasets.patch import PatchLayout
from geolulc.nets.config import HALF_RESOLUTION, NetConfig
from geolulc.nets.pretrained import OneEncoder
from geolulc.nets.resizing import join_bands

#: Pixels that a window's border reaches: the stem, nine depthwise convolutions of half resolution,
#: and one of its pixels more for halving and for enlarging.
REACH: Final = 24

#: A convolution → itself with what belongs to it.
Unit = Callable[[nn.Conv2d], nn.Module]
Function = Callable[[Tensor], Tensor]


class Block(nn.Module):
    """Three pairs of a pointwise and a depthwise convolution, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, unit: Unit, activate: Function) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (inputs, outputs, outputs):
            layers += [unit(nn.Conv2d(channels, outputs, 1)), unit(_depthwise(outputs))]
        self.layers = nn.ModuleList(layers)
        self.shortcut = unit(nn.Conv2d(inputs, outputs, 1))
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, rows, columns) → (N, outputs, rows, columns)."""
        past = self.activate(self.shortcut(x))
        for layer in self.layers:
            x = self.activate(layer(x))
        return x.add_(past)


class HalfResolution(nn.Module):
    """The layers, but for the last one.

    Attributes:
        channels: of their features.
    """

    #: As timm's models say which is their first convolution.
    default_cfg: Final = MappingProxyType({"first_conv": "stem.0"})

    def __init__(
        self,
        bands: int,
        channels: tuple[int, int, int, int],
        *,
        unit: Unit,
        activate: Function,
        halve: Function,
    ) -> None:
        """Fresh layers.

        Args:
            bands: of the input.
            channels: of the stem, of block a, of b and c, and of the branch beside them.
            unit: what becomes of each convolution.
            activate: what follows on each.
            halve: (N, stem, rows, columns) → half the rows and columns.
        """
        super().__init__()
        first, middle, self.channels, beside = channels
        self.stem = unit(nn.Conv2d(bands, first, 3, padding=1))
        self.a = Block(first, middle, unit, activate)
        self.b = Block(middle, self.channels, unit, activate)
        self.side = nn.ModuleList([unit(nn.Conv2d(first, beside, 1)), unit(_depthwise(beside))])
        self.c = Block(self.channels + beside, self.channels, unit, activate)
        self.activate, self.halve = activate, halve

    def features(self, x: Tensor) -> Tensor:
        """(N, bands, rows, columns) → (N, channels, ⌊rows / 2⌋, ⌊columns / 2⌋)."""
        x = self.halve(self.activate(self.stem(x)))
        past = x
        for layer in self.side:
            past = self.activate(layer(past))
        return cast(Tensor, self.c(torch.cat([self.b(self.a(x)), past], dim=1)))


class _Head(nn.Module):
    """Features of half resolution → logits of every pixel, less ``border`` pixels a side."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(features, classes, 1)

    def forward(self, x: Tensor, size: torch.Size, border: int) -> Tensor:
        logits = functional.interpolate(
            self.classifier(x), size=tuple(size), mode="bilinear", align_corners=False
        )
        return logits[..., border : size[0] - border, border : size[1] - border]


class HalfResolutionFusion(OneEncoder):
    """All bands at the finest resolution, the layers with batch norms and SiLU, a head.

    Attributes:
        multiple: metres that divide the sides of its windows.
        margin: metres at a window's border that its neighbours reach.
    """

    backbone: HalfResolution

    def __init__(
        self,
        config: NetConfig,
        bands: Mapping[int, tuple[str, ...]],
        num_classes: int,
        patches: PatchLayout,
    ) -> None:
        super().__init__()
        self.bands = tuple(name for names in bands.values() for name in names)
        self.backbone = HalfResolution(
            len(self.bands),
            HALF_RESOLUTION[config.backbone],
            unit=_normed,
            activate=_as_it_is,
            halve=_mean_of_four,
        )
        self.head = _Head(self.backbone.channels, num_classes)
        self.upsampling = config.upsampling
        self.pixel = patches.pixel
        self.multiple = math.lcm(patches.coarsest, 2 * patches.pixel)
        self.margin = self.multiple * math.ceil(REACH * patches.pixel / self.multiple)
        self.joins = dict.fromkeys(bands, "the input")

    def joined(self, *groups: Tensor) -> Tensor:
        """All bands at the finest resolution, (N, bands, rows, columns)."""
        return join_bands(groups, groups[0].shape[-2:], self.upsampling)

    def forward(self, *groups: Tensor, border: int = 0) -> Tensor:
        """Normalised bands (N, bands, rows, columns) → logits (N, classes, rows, columns)."""
        features = self.backbone.features(self.joined(*groups))
        return cast(Tensor, self.head(features, groups[0].shape[-2:], border // self.pixel))


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels)


def _normed(layer: nn.Conv2d) -> nn.Module:
    layer.bias = None  # the norm has one
    return nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels), nn.SiLU(inplace=True))


def _as_it_is(x: Tensor) -> Tensor:
    return x


def _mean_of_four(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, 2)
