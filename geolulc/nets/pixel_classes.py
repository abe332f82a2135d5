"""A patch by the classes of its pixels: a network of pixels inside, and what it says, pooled.

What a network of pixels has learned of the world, many patches with labels are not needed to say
again: forest, water and houses are in its probabilities, and a patch's classes follow from their
mean and deviation over the patch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import torch
from torch import Tensor, nn

from geolulc.datasets.patch import PatchLayout
from geolulc.nets.config import NetConfig
from geolulc.nets.pixel_fusions import build_pixel_fusion
from geolulc.nets.pretrained import EncoderInput
from geolulc.nets.shallow import moments

#: Pooled features further from their mean over the train patches, in their deviations, are cut to
#: it: a class that these hardly have would outweigh all others where there is much of it.
FURTHEST: Final = 3.0


class PixelClassesFusion(nn.Module):
    """``config.pixel_classes`` classes of every pixel, mean and deviation over the patch, a head.

    Attributes:
        pixels: the network of pixels, of any fusion.
        norm: brings each pooled feature to mean 0 and deviation 1 over the train patches: a class
            that covers little says as much as one that covers all.
    """

    def __init__(
        self,
        config: NetConfig,
        bands: Mapping[int, tuple[str, ...]],
        num_classes: int,
        patches: PatchLayout,
    ) -> None:
        super().__init__()
        self.pixels = build_pixel_fusion(config, bands, config.pixel_classes, patches)
        # the mean of all batches: a moving one remembers its start, a deviation of 1, for long
        self.norm = nn.BatchNorm1d(2 * config.pixel_classes, affine=False, momentum=None)
        self.drop = nn.Dropout(config.drop_rate)
        self.head = nn.Linear(2 * config.pixel_classes, num_classes)
        self.joins = self.pixels.joins

    def encoders(self) -> tuple[EncoderInput, ...]:
        """The timm models of the network of pixels."""
        return self.pixels.encoders()

    def features(self, *groups: Tensor) -> Tensor:
        """Probabilities (N, pixel_classes, rows, columns) of normalised bands."""
        return torch.softmax(self.pixels(*groups).float(), dim=1)

    def forward(self, *groups: Tensor) -> Tensor:
        """Normalised bands (N, bands, pixels, pixels) → logits (N, classes)."""
        return self.of_moments(moments(self.features(*groups)))

    def of_moments(self, pooled: Tensor) -> Tensor:
        """Logits (N, classes) of means and deviations (N, 2 × pixel_classes)."""
        near = self.norm(pooled).clamp(-FURTHEST, FURTHEST)
        return cast(Tensor, self.head(self.drop(near)))
