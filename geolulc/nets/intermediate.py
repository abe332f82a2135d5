"""Intermediate fusion: coarser bands join the trunk where it has come down to their size."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final, cast

from torch import Tensor, nn

from geolulc.datasets.patch import PatchLayout
from geolulc.nets.attention import attention_block
from geolulc.nets.config import NetConfig
from geolulc.nets.pretrained import OneEncoder
from geolulc.nets.resizing import resize
from geolulc.nets.stages import Stage, open_trunk, run_modules

#: The deepest stride at which a group joins.
_DEEPEST_JOIN: Final = 4
#: Features that a group of at most six bands becomes before it is brought to the trunk's channels.
#: Lifted to all of them at once, the two joins took a tenth of a training step of ResNet18.
_JOIN_FEATURES = 16


def join_strides(bands: Mapping[int, tuple[str, ...]]) -> dict[int, int]:
    """Stride of the stage after which each coarser group joins.

    The largest power of two that does not go beyond the group's pixels, and 4 at most: 120 → 60
    for 20 m beside 10 m, 120 → 30 for 60 m.
    """
    finest, *coarser = sorted(bands)
    return {r: min(1 << ((r // finest).bit_length() - 1), _DEEPEST_JOIN) for r in coarser}


class Join(nn.Module):
    """Adds bands to a feature map of another resolution, after lifting them to its channels.

    The sum is what a 1 × 1 convolution over the concatenation gives when it starts as the
    identity on the trunk: weights from pretraining keep their meaning.
    """

    def __init__(self, bands: int, channels: int) -> None:
        super().__init__()
        self.lift = nn.Sequential(
            nn.Conv2d(bands, _JOIN_FEATURES, 3, padding=1, bias=False),
            nn.BatchNorm2d(_JOIN_FEATURES),
            nn.ReLU(inplace=True),
            nn.Conv2d(_JOIN_FEATURES, channels, 1),
        )

    def forward(self, features: Tensor, bands: Tensor) -> Tensor:
        """(N, channels, rows, columns) and (N, bands, pixels, pixels) → the first's shape."""
        return cast(Tensor, features + self.lift(resize(bands, features.shape[-2:])))


class IntermediateFusion(OneEncoder):
    """The finest bands enter; 20 m bands join after the stage of stride 2, 60 m after stride 4.

    A backbone without such a stage takes a group at its first stage of a greater stride. The
    whole timm model serves as the trunk, its head included.
    """

    def __init__(
        self,
        config: NetConfig,
        bands: Mapping[int, tuple[str, ...]],
        num_classes: int,
        patches: PatchLayout,
    ) -> None:
        super().__init__()
        finest = min(bands)
        opened, layout = open_trunk(
            config, len(bands[finest]), patches, num_classes=num_classes, resolution=finest
        )
        self.backbone = opened.model
        self.image_size = opened.image_size
        self.upsampling = config.upsampling
        self.stages: dict[int, Stage] = {r: layout.at(s) for r, s in join_strides(bands).items()}
        ends = [0, *(stage.end for stage in self.stages.values()), len(layout.modules)]
        self.segments = tuple(layout.modules[start:end] for start, end in pairwise(ends))
        for resolution, stage in self.stages.items():
            self.add_module(f"join{resolution}", Join(len(bands[resolution]), stage.channels))
        self.attention = attention_block(config, opened.model)
        self.joins = {finest: "the input"} | {
            r: f"after {s.name} (stride {s.stride}, {s.channels} channels)"
            for r, s in self.stages.items()
        }
        self.bands = bands[finest]

    def features(self, *groups: Tensor) -> Tensor:
        """The last map (N, features, rows, columns) of normalised bands."""
        images = resize(groups[0], (self.image_size, self.image_size), self.upsampling)
        features = run_modules(self.backbone, self.segments[0], images)
        for resolution, x, segment in zip(self.stages, groups[1:], self.segments[1:], strict=True):
            features = getattr(self, f"join{resolution}")(features, x)
            features = run_modules(self.backbone, segment, features)
        return cast(Tensor, self.attention(features))

    def forward(self, *groups: Tensor) -> Tensor:
        """Normalised bands (N, bands, pixels, pixels) → logits (N, classes)."""
        return cast(Tensor, self.backbone.forward_head(self.features(*groups)))
