"""From a trunk's maps of several strides back to the grid of its input: a light feature pyramid.

Lin et al. (2017): each stage's map is brought to a common width, coarser ones are added to finer
ones from the top down. What tells a pixel's class is mostly its own spectrum, and the trunk's first
stage has lost the finest detail: a small branch on the input itself joins at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from geolulc.errors import ParameterError
from geolulc.nets.attention import attention_block
from geolulc.nets.backbones import PATCH_PIXELS, open_backbone
from geolulc.nets.config import NetConfig
from geolulc.nets.stages import keep_modules, open_stages, run_modules

#: Channels of the pyramid's maps.
_WIDTH: Final = 64
#: Channels at the input's own size, where every one costs 14,400 pixels a patch.
_FINE: Final = 32
#: Larger than a patch, and divided by every stride.
_PROBE: Final = 192


class PixelTrunk(nn.Module):
    """The stages of a timm backbone: bands → a map for each stride.

    Attributes:
        backbone: the timm model, without what comes after its last stage.
        strides: of the maps, growing; the last divides the sides of what comes in.
        channels: of the maps.
    """

    def __init__(
        self,
        config: NetConfig,
        bands: int,
        *,
        pixels: int = PATCH_PIXELS,
        deepest: int = 0,
    ) -> None:
        """``deepest``: the stride that no map is coarser than; 0 for all stages."""
        super().__init__()
        opened = open_backbone(
            config.backbone,
            in_chans=bands,
            num_classes=0,
            drop_path_rate=config.drop_path_rate,
            pixels=pixels,
        )
        layout = open_stages(config.backbone, opened, bands)
        stages = {s.stride: s for s in layout.stages if not deepest or s.stride <= deepest}
        if not stages:
            stages = {layout.stages[0].stride: layout.stages[0]}
        self.backbone = opened.model
        self.strides = tuple(sorted(stages))
        self.channels = tuple(stages[s].channels for s in self.strides)
        ends = [stages[s].end for s in self.strides]
        #: Modules of the backbone that lead from one map to the next.
        self.segments = tuple(layout.modules[a:b] for a, b in pairwise([0, *ends]))
        self.name = f"{config.backbone} up to {stages[self.strides[-1]].name}"
        self.attention = attention_block(config, opened.model, self.channels[-1])
        keep_modules(self.backbone, layout.modules[: ends[-1]])
        _require_any_size(self, config.backbone, bands)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, bands, rows, columns) → (N, channels, rows / stride, columns / stride) each."""
        maps = []
        for segment in self.segments:
            x = run_modules(self.backbone, segment, x)
            maps.append(x)
        maps[-1] = self.attention(maps[-1])
        return maps


class PixelDecoder(nn.Module):
    """Maps of a trunk and its input → features of every pixel of the input.

    Attributes:
        features: channels that come out.
    """

    def __init__(self, trunk: PixelTrunk, bands: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, _WIDTH, 1) for c in trunk.channels)
        self.smooth = nn.ModuleList(convolve(_WIDTH, _WIDTH) for _ in trunk.channels[:-1])
        self.narrow = nn.Conv2d(_WIDTH, _FINE, 1)
        self.detail = convolve(bands, _FINE)
        self.join = convolve(2 * _FINE, _FINE)
        self.features = _FINE

    def forward(self, maps: Sequence[Tensor], x: Tensor) -> Tensor:
        """Maps of strides that grow, and (N, bands, rows, columns) → (N, features, rows, …)."""
        pyramid = self.lateral[-1](maps[-1])
        for lateral, smooth, finer in zip(
            reversed(self.lateral[:-1]), reversed(self.smooth), reversed(maps[:-1]), strict=True
        ):
            pyramid = smooth(lateral(finer) + enlarge(pyramid, finer.shape[-2:]))
        # narrowed before it is enlarged: the other way round costs four times as much
        coarse = enlarge(self.narrow(pyramid), x.shape[-2:])
        return cast(Tensor, self.join(torch.cat([self.detail(x), coarse], dim=1)))


class PixelHead(nn.Module):
    """Features of every pixel → logits of every pixel."""

    def __init__(self, features: int, classes: int, drop_rate: float) -> None:
        super().__init__()
        self.mix = convolve(features, _FINE)
        self.drop = nn.Dropout2d(drop_rate)
        self.classifier = nn.Conv2d(_FINE, classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, features, rows, columns) → (N, classes, rows, columns)."""
        return cast(Tensor, self.classifier(self.drop(self.mix(features))))


def convolve(bands: int, features: int) -> nn.Sequential:
    """A 3 × 3 convolution, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(bands, features, 3, padding=1, bias=False),
        nn.BatchNorm2d(features),
        nn.ReLU(inplace=True),
    )


def enlarge(x: Tensor, size: Sequence[int], upsampling: str = "bilinear") -> Tensor:
    """``x`` (N, channels, rows, columns) on the grid of ``size`` over the same ground."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    if upsampling == "nearest":
        return functional.interpolate(x, tuple(size), mode="nearest")
    return functional.interpolate(x, tuple(size), mode=upsampling, align_corners=False)


def pad_to(x: Tensor, multiple: int) -> tuple[Tensor, tuple[slice, slice]]:
    """``x`` with sides that ``multiple`` divides, and where it lies in the result.

    Half of what is missing goes to each side, so that no border is treated otherwise than the
    one across; it repeats the pixels of the border.
    """
    (rows, columns), (down, right) = x.shape[-2:], (-n % multiple for n in x.shape[-2:])
    top, left = down // 2, right // 2
    inside = slice(top, top + rows), slice(left, left + columns)
    if not (down or right):
        return x, inside
    sides = (left, right - left, top, down - top)
    return functional.pad(x, sides, mode="replicate"), inside


def _require_any_size(trunk: PixelTrunk, name: str, bands: int) -> None:
    """``ParameterError`` for a backbone that is built for images of one size."""
    weights = next(trunk.backbone.parameters())
    if weights.is_meta:
        return
    was_training = trunk.training
    trunk.eval()
    try:
        with torch.no_grad():
            trunk(torch.zeros(1, bands, _PROBE, _PROBE, device=weights.device))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ParameterError(
            f"backbone {name}",
            found="images of one size only",
            expected="a backbone that maps windows of any size",
            remedy="Use a convolutional one, such as resnet18 or convnextv2_atto.",
        ) from error
    finally:
        trunk.train(was_training)
