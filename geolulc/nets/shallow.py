"""Early fusion on the first stages of a trunk: for stores of few patches.

A whole trunk has millions of weights and sees objects; a few dozen patches cannot teach it those.
Up to stride 8 it has some hundred thousand and sees spectra and texture; classes then
differ in how these are spread over the patch: in their mean and their deviation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import torch
from torch import Tensor, nn

from geolulc.datasets.patch import PatchLayout
from geolulc.nets.attention import attention_block
from geolulc.nets.config import NetConfig
from geolulc.nets.pretrained import OneEncoder
from geolulc.nets.resizing import join_bands
from geolulc.nets.stages import SHALLOW_STRIDE, keep_modules, open_trunk, run_modules

#: Added to the variance before its root.
EPSILON: Final = 1e-5


class ShallowFusion(OneEncoder):
    """Bands at one size, the trunk up to stride 8, mean and deviation over the patch, a head."""

    def __init__(
        self,
        config: NetConfig,
        bands: Mapping[int, tuple[str, ...]],
        num_classes: int,
        patches: PatchLayout,
    ) -> None:
        super().__init__()
        self.bands = tuple(name for names in bands.values() for name in names)
        opened, layout = open_trunk(config, len(self.bands), patches, deepest=SHALLOW_STRIDE)
        stage = layout.at(SHALLOW_STRIDE)
        self.modules_used = layout.modules[: stage.end]
        self.backbone = opened.model
        self.image_size = opened.image_size
        self.upsampling = config.upsampling
        self.attention = attention_block(config, opened.model, stage.channels)
        keep_modules(self.backbone, self.modules_used)
        self.drop = nn.Dropout(config.drop_rate)
        self.head = nn.Linear(2 * stage.channels, num_classes)
        where = f"the input of {config.backbone} up to {stage.name} (stride {stage.stride})"
        self.joins = dict.fromkeys(bands, where)

    def features(self, *groups: Tensor) -> Tensor:
        """The last map (N, features, rows, columns) of normalised bands."""
        size = self.image_size, self.image_size
        images = join_bands(groups, size, self.upsampling)
        return cast(Tensor, self.attention(run_modules(self.backbone, self.modules_used, images)))

    def forward(self, *groups: Tensor) -> Tensor:
        """Normalised bands (N, bands, pixels, pixels) → logits (N, classes)."""
        return cast(Tensor, self.head(self.drop(moments(self.features(*groups)))))


def moments(features: Tensor) -> Tensor:
    """Mean, then deviation, of a map (N, channels, rows, columns): (N, 2 × channels)."""
    mean = features.mean(dim=(2, 3))
    # a constant map has no slope in its deviation: the epsilon keeps gradients finite
    deviation = (features.var(dim=(2, 3), unbiased=False) + EPSILON).sqrt()
    return torch.cat([mean, deviation], dim=1)
