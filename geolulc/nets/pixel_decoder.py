"""From a trunk's maps of several strides back to the grid of its input: a light feature pyramid.

Lin et al. (2017): each stage's map is brought to a common width, coarser ones are added to finer
ones from the top down. What tells a pixel's class is mostly its own spectrum, and the trunk's first
stage has lost the finest detail: a small branch on the input itself joins at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from geolulc.datasets.patch import PatchLayout
from geolulc.errors import ParameterError
from geolulc.nets.attention import attention_block
from geolulc.nets.config import NetConfig
from geolulc.nets.resizing import resize
from geolulc.nets.stages import evaluating, keep_modules, open_trunk, run_modules

#: Channels of the pyramid's maps.
_WIDTH: Final = 64
#: Channels at the input's own size, where every one costs 14,400 pixels a patch.
_FINE: Final = 32
#: Larger than a patch, and divided by every stride.
_PROBE: Final = 192
#: 3 × 3 convolutions at the input's own size that follow on each other: two of the decoder.
DECODER_REACH: Final = 2
#: … and of the head.
HEAD_REACH: Final = 1

#: A part of a map: its rows and columns.
Region = tuple[slice, slice]


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
        patches: PatchLayout,
        *,
        resolution: int = 0,
        deepest: int = 0,
    ) -> None:
        """``deepest``: the stride that no map is coarser than; 0 for all stages."""
        super().__init__()
        opened, layout = open_trunk(config, bands, patches, resolution=resolution)
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


@dataclass(frozen=True)
class Pyramid:
    """The decoder's result for the coarser maps of a trunk.

    Attributes:
        narrowed: (N, channels, rows, columns).
        at: the part of the finest map's grid that it covers.
        ratio: pixels of the trunk's input along one of it.
    """

    narrowed: Tensor
    at: Region
    ratio: int


class PixelDecoder(nn.Module):
    """Maps of a trunk (``pyramid``) and its input (``fine``) → features of pixels of the input.

    The finest levels cost much: where only a part of the input is wanted, each is computed there
    and as far around as the next finer one needs.

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

    def pyramid(self, maps: Sequence[Tensor], x: Tensor, region: Region) -> Pyramid:
        """The pyramid that ``fine`` needs for a region and all parts of it.

        Args:
            maps: of the trunk, (N, channels, rows, columns) each; their strides grow.
            x: its input, (N, bands, rows, columns).
            region: of ``x``.
        """
        # from fine to coarse: what is needed of each map
        needed = [region]
        ratios = [a.shape[-1] // b.shape[-1] for a, b in pairwise([x, *maps])]
        for ratio, coarser in zip(ratios, maps, strict=True):
            needed.append(_under(needed[-1], ratio, whole(coarser)))
        found = self.lateral[-1](maps[-1][(..., *needed[-1])])
        for level in reversed(range(len(maps) - 1)):
            at, below = needed[level + 1 : level + 3]
            finer = self.lateral[level](maps[level][(..., *at)])
            finer += enlarged(found, below, ratios[level + 1], at)
            found = self.smooth[level](finer)
        # narrowed before it is enlarged: the other way round costs four times as much
        return Pyramid(self.narrow(found), needed[1], ratios[0])

    def fine(self, pyramid: Pyramid, x: Tensor, region: Region) -> Tensor:
        """(N, features, rows, columns) of ``region`` of ``x``.

        Its outermost ``DECODER_REACH`` pixels are not right where ``x`` goes on: see ``around``.
        """
        at = _under(region, pyramid.ratio, pyramid.at)
        narrowed = pyramid.narrowed[(..., *moved(at, pyramid.at, -1))]
        coarse = enlarged(narrowed, at, pyramid.ratio, region)
        return cast(Tensor, self.join(torch.cat([self.detail(x[(..., *region)]), coarse], dim=1)))


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


def whole(x: Tensor) -> Region:
    """All rows and columns of ``x`` (…, rows, columns)."""
    return slice(0, x.shape[-2]), slice(0, x.shape[-1])


def moved(region: Region, place: Region, times: int = 1) -> Region:
    """``region`` with ``times`` the start of ``place`` added to its rows and columns.

    A region of what lies at ``place`` becomes one of what it lies in; with -1 the other way round.
    """
    rows, columns = (
        slice(part.start + times * outer.start, part.stop + times * outer.start)
        for part, outer in zip(region, place, strict=True)
    )
    return rows, columns


def around(region: Region, pixels: int, x: Tensor) -> tuple[Region, Region]:
    """``region`` of ``x`` and so many pixels around it, as far as ``x`` goes; where it lies there.

    A 3 × 3 convolution of a part of a map takes what lies beyond for zeros, as at the map's own
    border: the part's outermost pixels are wrong, and with every further one those beside them.
    """
    rows, columns = (
        slice(max(0, part.start - pixels), min(size, part.stop + pixels))
        for part, size in zip(region, x.shape[-2:], strict=True)
    )
    return (rows, columns), moved(region, (rows, columns), -1)


def _under(region: Region, ratio: int, limits: Region) -> Region:
    """What ``region`` needs of a map whose pixels are ``ratio`` times as large, in its ``limits``.

    One pixel around it is for interpolation, one for what ``around`` says of convolutions.
    """
    rows, columns = (
        slice(
            max(limit.start, part.start // ratio - 2), min(limit.stop, -(-part.stop // ratio) + 2)
        )
        for part, limit in zip(region, limits, strict=True)
    )
    return rows, columns


def enlarged(
    part: Tensor, at: Region, ratio: int, region: Region, upsampling: str = "bilinear"
) -> Tensor:
    """``region`` of a map ``ratio`` times as fine as the one whose region ``at`` is ``part``."""
    finer = resize(part, [ratio * n for n in part.shape[-2:]], upsampling)
    return finer[(..., *moved(region, at, -ratio))]


def pad_to(x: Tensor, multiple: int) -> tuple[Tensor, Region]:
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
    try:
        with evaluating(trunk):
            trunk(torch.zeros(1, bands, _PROBE, _PROBE, device=weights.device))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ParameterError(
            f"backbone {name}",
            found="images of one size only",
            expected="a backbone that maps windows of any size",
            remedy="Use a convolutional one, such as resnet18 or convnextv2_atto.",
        ) from error
