"""Late fusion: one encoder a resolution, features joined before the head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from geolulc.datasets.patch import PatchLayout
from geolulc.nets.attention import attention_block
from geolulc.nets.backbones import enlarged_side
from geolulc.nets.config import NetConfig
from geolulc.nets.pretrained import EncoderAResolution, OneEncoder
from geolulc.nets.resizing import resize
from geolulc.nets.stages import (
    SHALLOW_STRIDE,
    image_pixels,
    is_small,
    keep_modules,
    open_trunk,
    run_modules,
)


class Encoder(OneEncoder):
    """A whole timm model without its classifier: bands → pooled features."""

    def __init__(
        self, config: NetConfig, bands: tuple[str, ...], patches: PatchLayout, *, resolution: int
    ) -> None:
        super().__init__()
        self.bands = bands
        opened, layout = open_trunk(config, len(bands), patches, resolution=resolution)
        self.backbone = opened.model
        self.image_size = opened.image_size
        self.upsampling = config.upsampling
        self.attention = attention_block(config, opened.model)
        self.num_features = int(
            getattr(opened.model, "head_hidden_size", None) or opened.model.num_features
        )
        self.depth = f"all of {config.backbone} (stride {layout.stages[-1].stride})"

    def features(self, x: Tensor) -> Tensor:
        """The last map (N, features, rows, columns) of (N, bands, pixels, pixels)."""
        images = resize(x, (self.image_size, self.image_size), self.upsampling)
        return cast(Tensor, self.attention(self.backbone.forward_features(images)))

    def pool(self, mean: Tensor) -> Tensor:
        """(N, num_features) of the mean of the map, (N, features)."""
        return cast(Tensor, self.backbone.forward_head(mean[:, :, None, None], pre_logits=True))

    def forward(self, x: Tensor) -> Tensor:
        """(N, bands, pixels, pixels) → (N, num_features)."""
        return cast(Tensor, self.backbone.forward_head(self.features(x), pre_logits=True))


class ShallowEncoder(OneEncoder):
    """The first stages of a timm model, averaged over the patch: bands → features.

    Of the 60 m bands, say: at ``SHALLOW_STRIDE`` their 20 pixels are 2 or 3.
    """

    def __init__(
        self, config: NetConfig, bands: tuple[str, ...], patches: PatchLayout, *, resolution: int
    ) -> None:
        super().__init__()
        self.bands = bands
        # laid out at the size of the finest: the whole depth may not have a pixel left at 20
        opened, layout = open_trunk(config, len(bands), patches)
        stage = layout.at(SHALLOW_STRIDE)
        pixels = image_pixels(config, patches, resolution)
        if not config.image_size:
            pixels = enlarged_side(opened.model, pixels, stage.stride)
        self.image_size = pixels
        self.upsampling = config.upsampling
        self.modules_used = layout.modules[: stage.end]
        self.backbone = opened.model
        self.attention = attention_block(config, opened.model, stage.channels)
        keep_modules(self.backbone, self.modules_used)
        # a stage in the middle of a backbone ends without a norm of its own in some of them
        self.norm = nn.LayerNorm(stage.channels)
        self.num_features = stage.channels
        self.depth = f"{config.backbone} up to {stage.name} (stride {stage.stride})"

    def features(self, x: Tensor) -> Tensor:
        """The last map (N, features, rows, columns) of (N, bands, pixels, pixels)."""
        images = resize(x, (self.image_size, self.image_size), self.upsampling)
        return cast(Tensor, self.attention(run_modules(self.backbone, self.modules_used, images)))

    def pool(self, mean: Tensor) -> Tensor:
        """(N, num_features) of the mean of the map, (N, features)."""
        return cast(Tensor, self.norm(mean))

    def forward(self, x: Tensor) -> Tensor:
        """(N, bands, pixels, pixels) → (N, num_features)."""
        return self.pool(self.features(x).mean(dim=(2, 3)))


class LateFusion(EncoderAResolution):
    """An encoder of the bands of each resolution, each at its own size; one linear head."""

    def __init__(
        self,
        config: NetConfig,
        bands: Mapping[int, tuple[str, ...]],
        num_classes: int,
        patches: PatchLayout,
    ) -> None:
        super().__init__(
            {
                r: ShallowEncoder(config, names, patches, resolution=r)
                if is_small(patches, r)
                else Encoder(config, names, patches, resolution=r)
                for r, names in bands.items()
            }
        )
        encoders = self.by_resolution()
        self.drop = nn.Dropout(config.drop_rate)
        self.head = nn.Linear(sum(e.num_features for e in encoders.values()), num_classes)
        self.joins = {
            r: f"before the head ({e.num_features} features of {e.depth})"
            for r, e in encoders.items()
        }

    def forward(self, *groups: Tensor) -> Tensor:
        """Normalised bands (N, bands, pixels, pixels) → logits (N, classes)."""
        encoders = self.by_resolution().values()
        features = [encoder(x) for encoder, x in zip(encoders, groups, strict=True)]
        return cast(Tensor, self.head(self.drop(torch.cat(features, dim=1))))
