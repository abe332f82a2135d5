"""Intermediate fusion: coarser bands join the trunk where it has come down to their size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from geolulc.nets.attention import attention_block
from geolulc.nets.config import NetConfig
from geolulc.nets.pretrained import OneEncoder
from geolulc.nets.resizing import resize
from geolulc.nets.stages import Stage, open_trunk, run_modules

#: Stride of the stage after which a group joins: 120 → 60 for 20 m, 120 → 30 for 60 m.
JOIN_STRIDES = {20: 2, 60: 4}
#: Features that a group of at most six bands becomes before it is brought to the trunk's channels.
#: Lifted to all of them at once, the two joins took a tenth of a training step of ResNet18.
_JOIN_FEATURES = 16


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
    """The 10 m bands enter; 20 m bands join after the stage of stride 2, 60 m after stride 4.

    A backbone without such a stage takes a group at its first stage of a greater stride. The
    whole timm model serves as the trunk, its head included.
    """

    def __init__(
        self, config: NetConfig, bands: Mapping[int, tuple[str, ...]], num_classes: int
    ) -> None:
        super().__init__()
        opened, layout = open_trunk(config, len(bands[10]), num_classes=num_classes)
        self.backbone = opened.model
        self.image_size = opened.image_size
        self.upsampling = config.upsampling
        self.stages: dict[int, Stage] = {r: layout.at(s) for r, s in JOIN_STRIDES.items()}
        first, second = self.stages[20].end, self.stages[60].end
        self.segments = (
            layout.modules[:first],
            layout.modules[first:second],
            layout.modules[second:],
        )
        self.join20 = Join(len(bands[20]), self.stages[20].channels)
        self.join60 = Join(len(bands[60]), self.stages[60].channels)
        self.attention = attention_block(config, opened.model)
        self.joins = {10: "the input"} | {
            r: f"after {s.name} (stride {s.stride}, {s.channels} channels)"
            for r, s in self.stages.items()
        }
        self.bands = bands[10]

    def features(self, x10: Tensor, x20: Tensor, x60: Tensor) -> Tensor:
        """The last map (N, features, rows, columns) of normalised bands."""
        images = resize(x10, (self.image_size, self.image_size), self.upsampling)
        features = run_modules(self.backbone, self.segments[0], images)
        features = run_modules(self.backbone, self.segments[1], self.join20(features, x20))
        features = run_modules(self.backbone, self.segments[2], self.join60(features, x60))
        return cast(Tensor, self.attention(features))

    def forward(self, x10: Tensor, x20: Tensor, x60: Tensor) -> Tensor:
        """Normalised bands (N, bands, pixels, pixels) → logits (N, classes)."""
        return cast(Tensor, self.backbone.forward_head(self.features(x10, x20, x60)))
