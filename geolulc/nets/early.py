"""Early fusion: all bands at one size from the start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from geolulc.datasets.patch import PatchLayout
from geolulc.errors import ParameterError
from geolulc.nets.attention import attention_block
from geolulc.nets.backbones import open_backbone
from geolulc.nets.config import NetConfig
from geolulc.nets.pretrained import OneEncoder
from geolulc.nets.resizing import join_bands
from geolulc.nets.stages import evaluating, image_pixels


class EarlyFusion(OneEncoder):
    """Bands of every resolution brought to the finest, concatenated (finest first), one trunk.

    The whole timm model serves, its head included. A backbone whose image size is fixed to
    another value than the 120 pixels of a patch, say (tokens of 16 pixels: 128), gets the bands at
    that size.
    """

    def __init__(
        self,
        config: NetConfig,
        bands: Mapping[int, tuple[str, ...]],
        num_classes: int,
        patches: PatchLayout,
    ) -> None:
        super().__init__()
        self.bands = tuple(name for names in bands.values() for name in names)
        opened = open_backbone(
            config.backbone,
            in_chans=len(self.bands),
            num_classes=num_classes,
            drop_rate=config.drop_rate,
            drop_path_rate=config.drop_path_rate,
            pixels=image_pixels(config, patches),
            exact=config.image_size > 0,
        )
        self.backbone = opened.model
        self.image_size = opened.image_size
        self.upsampling = config.upsampling
        self.attention = attention_block(config, opened.model)
        #: Where each group of bands joins, for people.
        self.joins = dict.fromkeys(bands, "the input")
        self._require_size(config.backbone)

    def _require_size(self, name: str) -> None:
        """``ParameterError`` unless the backbone takes images of that size: one is tried."""
        images = torch.zeros(1, len(self.bands), self.image_size, self.image_size)
        if images.is_meta:  # a network without numbers, whose tensors are only compared
            return
        try:
            with evaluating(self):
                self.backbone.forward_head(self.attention(self.backbone.forward_features(images)))
        except Exception as error:  # whatever a backbone stumbles over
            raise ParameterError(
                f"backbone {name}",
                found=f"a network that cannot take images of {self.image_size} × "
                f"{self.image_size} pixels ({type(error).__name__}: {error})",
                expected="one that takes the patch's size",
                remedy="Give an image_size that it takes (224, say), or use another backbone.",
            ) from error

    def features(self, *groups: Tensor) -> Tensor:
        """The last map (N, features, rows, columns) of normalised bands."""
        size = self.image_size, self.image_size
        images = join_bands(groups, size, self.upsampling)
        return cast(Tensor, self.attention(self.backbone.forward_features(images)))

    def forward(self, *groups: Tensor) -> Tensor:
        """Normalised bands (N, bands, pixels, pixels) → logits (N, classes)."""
        return cast(Tensor, self.backbone.forward_head(self.features(*groups)))
