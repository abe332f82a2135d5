"""The three fusions of networks that say the class of every one of the finest pixels.

Their parts have the names that the fusions of patch networks give them: a patch checkpoint can
serve as ``pretrained``. Each works on windows of any size in steps of the sensor's coarsest pixel
(of Sentinel-2 60 m); one whose sides ``multiple`` metres divide is not padded. ``border`` metres on
each side of a window that no one asks for are not computed where that saves something: on the
grids that the decoder comes back to.
Patch networks have no way back to pixels and no borders: only parts are shared with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import torch
from torch import Tensor, nn

from geolulc.datasets.patch import PatchLayout
from geolulc.errors import ParameterError
from geolulc.nets.config import HALF_RESOLUTION, NetConfig
from geolulc.nets.half_resolution import HalfResolutionFusion
from geolulc.nets.intermediate import Join, join_strides
from geolulc.nets.pixel_decoder import (
    DECODER_REACH,
    HEAD_REACH,
    PixelDecoder,
    PixelHead,
    PixelTrunk,
    Pyramid,
    Region,
    around,
    enlarged,
    moved,
    pad_to,
    whole,
)
from geolulc.nets.pretrained import EncoderAResolution, EncoderInput, OneEncoder
from geolulc.nets.resizing import join_bands, resize
from geolulc.nets.stages import SHALLOW_STRIDE, is_small, run_modules

#: Rows of pixels that a CPU takes from a pyramid to logits at once, about: 9 MB where they are
#: largest. Of fewer, more would be computed twice: what they share with their neighbours.
_ROWS: Final = 66


class _OnTrunk(OneEncoder):
    """A trunk and a decoder on its maps."""

    def __init__(
        self,
        config: NetConfig,
        bands: tuple[str, ...],
        patches: PatchLayout,
        resolution: int = 0,
        deepest: int = 0,
    ) -> None:
        super().__init__()
        self.bands = bands
        self.trunk = PixelTrunk(config, len(bands), patches, resolution=resolution, deepest=deepest)
        self.decoder = PixelDecoder(self.trunk, len(bands))

    @property
    def backbone(self) -> nn.Module:
        """The timm model inside."""
        return cast(nn.Module, self.trunk.backbone)

    def encoders(self) -> tuple[EncoderInput, ...]:
        """The timm model inside, with its bands and the decoder."""
        return (EncoderInput(self.backbone, self.bands, self.decoder),)


class _OneTrunk(_OnTrunk):
    """A trunk, a decoder on its maps and a head."""

    def __init__(
        self,
        config: NetConfig,
        bands: tuple[str, ...],
        num_classes: int,
        patches: PatchLayout,
        deepest: int = 0,
    ) -> None:
        super().__init__(config, bands, patches, deepest=deepest)
        self.pixel, self.rows = _pixel_and_rows(patches)
        self.head = PixelHead(self.decoder.features, num_classes, config.drop_rate)
        self.upsampling = config.upsampling
        self.multiple, self.margin = _windows(patches, {self.pixel: self.trunk})

    def logits(self, maps: Sequence[Tensor], x: Tensor, region: Region) -> Tensor:
        """Logits of a region of ``x``, the trunk's input, from the trunk's ``maps``."""
        reach = DECODER_REACH + HEAD_REACH
        pyramid = self.decoder.pyramid(maps, x, around(region, reach, x)[0])
        parts = []
        for part in _by_rows(self, region, x):
            needed, inside = around(part, reach, x)
            parts.append(self.head(self.decoder.fine(pyramid, x, needed))[(..., *inside)])
        return _joined(parts)


class PixelEarlyFusion(_OneTrunk):
    """Bands at the finest resolution, one trunk (whole, or up to stride 8), one decoder."""

    def __init__(
        self,
        config: NetConfig,
        bands: Mapping[int, tuple[str, ...]],
        num_classes: int,
        patches: PatchLayout,
    ) -> None:
        deepest = SHALLOW_STRIDE if config.trunk == "shallow" else 0
        every = tuple(name for names in bands.values() for name in names)
        super().__init__(config, every, num_classes, patches, deepest)
        self.joins = dict.fromkeys(bands, f"the input of {self.trunk.name}")

    def forward(self, *groups: Tensor, border: int = 0) -> Tensor:
        """Normalised bands (N, bands, rows, columns) → logits (N, classes, rows, columns)."""
        images = join_bands(groups, groups[0].shape[-2:], self.upsampling)
        images, place = pad_to(images, self.trunk.strides[-1])
        return self.logits(self.trunk(images), images, _within(place, border, self.pixel))


class PixelIntermediateFusion(_OneTrunk):
    """The finest bands enter; 20 m bands join after the map of stride 2, 60 m after stride 4."""

    def __init__(
        self,
        config: NetConfig,
        bands: Mapping[int, tuple[str, ...]],
        num_classes: int,
        patches: PatchLayout,
    ) -> None:
        super().__init__(config, bands[min(bands)], num_classes, patches)
        strides, channels = self.trunk.strides, self.trunk.channels
        #: Number of the map that a group joins.
        self.places = {
            r: next((i for i, s in enumerate(strides) if s >= stride), len(strides) - 1)
            for r, stride in join_strides(bands).items()
        }
        for resolution, place in self.places.items():
            self.add_module(f"join{resolution}", Join(len(bands[resolution]), channels[place]))
        self.joins = {self.pixel: f"the input of {self.trunk.name}"} | {
            r: f"after stride {strides[i]} ({channels[i]} channels)" for r, i in self.places.items()
        }

    def forward(self, *groups: Tensor, border: int = 0) -> Tensor:
        """Normalised bands (N, bands, rows, columns) → logits (N, classes, rows, columns)."""
        size, stride = groups[0].shape[-2:], self.trunk.strides[-1]
        x, place = pad_to(groups[0], stride)
        # on the finest pixels all are padded alike, and lie on the same ground wherever they join
        coarser = [pad_to(resize(g, size, self.upsampling), stride)[0] for g in groups[1:]]
        maps, features = [], x
        for number, segment in enumerate(self.trunk.segments):
            features = run_modules(self.trunk.backbone, segment, features)
            for (resolution, at), bands in zip(self.places.items(), coarser, strict=True):
                if at == number:
                    features = getattr(self, f"join{resolution}")(features, bands)
            maps.append(features)
        maps[-1] = self.trunk.attention(maps[-1])
        return self.logits(maps, x, _within(place, border, self.pixel))


@dataclass(frozen=True)
class Encoded:
    """The pyramid of an encoder, and its padded bands ``x``, which lie at ``place``."""

    x: Tensor
    place: Region
    pyramid: Pyramid


class PixelEncoder(_OnTrunk):
    """A trunk and a decoder on the grid of one resolution: bands → features of its pixels."""

    def encode(self, x: Tensor, region: Region) -> Encoded:
        """What ``features`` needs for ``region`` of ``x`` (N, bands, rows, columns)."""
        padded, place = pad_to(x, self.trunk.strides[-1])
        needed, _ = around(moved(region, place), DECODER_REACH, padded)
        return Encoded(padded, place, self.decoder.pyramid(self.trunk(padded), padded, needed))

    def features(self, encoded: Encoded, region: Region) -> Tensor:
        """(N, features, rows, columns) of ``region``, or a part of it."""
        needed, inside = around(moved(region, encoded.place), DECODER_REACH, encoded.x)
        return self.decoder.fine(encoded.pyramid, encoded.x, needed)[(..., *inside)]


class PixelLateFusion(EncoderAResolution):
    """An encoder a resolution on its own grid; features meet at the finest before the head."""

    def __init__(
        self,
        config: NetConfig,
        bands: Mapping[int, tuple[str, ...]],
        num_classes: int,
        patches: PatchLayout,
    ) -> None:
        super().__init__(
            {
                # opened at the size of the finest: its depth may not have a pixel left at 20
                r: PixelEncoder(config, names, patches, deepest=SHALLOW_STRIDE)
                if is_small(patches, r)
                else PixelEncoder(config, names, patches, resolution=r)
                for r, names in bands.items()
            }
        )
        encoders = self.by_resolution()
        self.pixel, self.rows = _pixel_and_rows(patches)
        self.upsampling = config.upsampling
        self.head = PixelHead(
            sum(e.decoder.features for e in encoders.values()), num_classes, config.drop_rate
        )
        self.multiple, self.margin = _windows(patches, {r: e.trunk for r, e in encoders.items()})
        self.joins = {
            r: f"before the head ({e.decoder.features} features of {e.trunk.name})"
            for r, e in encoders.items()
        }

    def forward(self, *groups: Tensor, border: int = 0) -> Tensor:
        """Normalised bands (N, bands, rows, columns) → logits (N, classes, rows, columns)."""
        encoders = self.by_resolution()
        own, first = dict(zip(encoders, groups, strict=True)), groups[0]
        region = _within(whole(first), border, self.pixel)
        encoded = {
            r: encoders[r].encode(x, _coarser(region, r // self.pixel, x)) for r, x in own.items()
        }
        parts = []
        for part in _by_rows(self, region, first):
            needed, inside = around(part, HEAD_REACH, first)
            features = []
            for resolution, x in own.items():
                factor = resolution // self.pixel
                at = _coarser(part, factor, x)
                found = encoders[resolution].features(encoded[resolution], at)
                features.append(enlarged(found, at, factor, needed, self.upsampling))
            parts.append(self.head(torch.cat(features, dim=1))[(..., *inside)])
        return _joined(parts)


PixelFusion = PixelEarlyFusion | PixelIntermediateFusion | PixelLateFusion | HalfResolutionFusion


def build_pixel_fusion(
    config: NetConfig,
    bands: Mapping[int, tuple[str, ...]],
    num_classes: int,
    patches: PatchLayout,
) -> PixelFusion:
    """The fusion of a network whose task is "pixel".

    Raises:
        ParameterError: none of the bands has the finest pixels of the sensor.
    """
    if min(bands) != (finest := patches.pixel):
        raise ParameterError(
            "task pixel",
            found=f"bands of {min(bands)} m and more",
            expected=f"a band of {finest} m, the pixels that get a class",
            remedy=f"Add a band of {finest} m.",
        )
    if config.backbone in HALF_RESOLUTION:
        return HalfResolutionFusion(config, bands, num_classes, patches)
    kind = {
        "early": PixelEarlyFusion,
        "intermediate": PixelIntermediateFusion,
        "late": PixelLateFusion,
    }[config.fusion]
    return cast(PixelFusion, kind(config, bands, num_classes, patches))


def _pixel_and_rows(patches: PatchLayout) -> tuple[int, int]:
    """Metres a side of the pixels that get a class; of these, rows in whole coarsest pixels."""
    unit = patches.coarsest // patches.pixel
    return patches.pixel, unit * max(1, _ROWS // unit)


def _by_rows(fusion: _OneTrunk | PixelLateFusion, region: Region, x: Tensor) -> Iterator[Region]:
    """A large region some rows at a time, so that what is made of them is small.

    On a CPU it then stays in the processor's cache. In training all rows are of one batch.
    """
    rows, columns = region
    step = rows.stop - rows.start
    if not fusion.training and x.device.type == "cpu" and step > 2 * fusion.rows:
        step = fusion.rows
    for start in range(rows.start, rows.stop, step):
        yield slice(start, min(start + step, rows.stop)), columns


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def _within(region: Region, border: int, resolution: int) -> Region:
    """``region`` without ``border`` metres on each side."""
    less = border // resolution
    rows, columns = (slice(part.start + less, part.stop - less) for part in region)
    return rows, columns


def _coarser(region: Region, factor: int, x: Tensor) -> Region:
    """Pixels of ``x`` under a region that starts and ends with them, and one around it.

    ``factor``: finest pixels along one of them. Interpolation, and the head behind it, reach less
    than one further.
    """
    rows, columns = (slice(part.start // factor, part.stop // factor) for part in region)
    return around((rows, columns), 1, x)[0]


def _windows(patches: PatchLayout, trunks: Mapping[int, PixelTrunk]) -> tuple[int, int]:
    """(multiple, margin) in metres of windows for ``trunks`` on grids of so many metres.

    The margin is one pixel of the coarsest map, up to whole coarsest pixels: a pixel so far inside
    has the whole of the coarsest pixel next to its own in the window.
    """
    deepest = [resolution * trunk.strides[-1] for resolution, trunk in trunks.items()]
    step = patches.coarsest
    return math.lcm(step, *deepest), step * math.ceil(max(deepest) / step)
