"""One trunk over a stretch of land, pooled patch by patch: what ``--overlap shared`` runs.

Patches that overlap have most of their convolutions in common. Run over the stretch once, a
feature map is averaged over each patch's window instead. That is not the same: inside a stretch
convolutions see the neighbours where a patch by itself has a border of zeros, and a window's
start is rounded to the feature map's grid. docs/mapping.md says how far it differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn

from geolulc.errors import ParameterError
from geolulc.nets.early import EarlyFusion
from geolulc.nets.resizing import join_bands
from geolulc.nets.shallow import ShallowFusion
from geolulc.nets.stages import run_modules

#: Side in pixels of the image that shows a trunk's stride.
_TRIAL: Final = 256
_EPSILON: Final = 1e-5


class SharedTrunk:
    """The parts of a network that overlapping patches share, and those that they do not.

    Raises:
        ParameterError: the network is none whose features are local: its patches cannot share.
    """

    def __init__(self, net: Any, name: str) -> None:
        fusion = net.fusion
        backbone: Any = getattr(fusion, "backbone", None)
        local = (
            isinstance(fusion, (EarlyFusion, ShallowFusion))
            and isinstance(backbone, ResNet)
            and isinstance(fusion.attention, nn.Identity)
            and net.label_correlation is None
            # squeeze and excitation looks at the whole image
            and all(getattr(module, "se", None) is None for module in backbone.modules())
        )
        if not local:
            raise ParameterError(
                f"overlap shared with {name}",
                found=f"{net.config.fusion} fusion on {net.config.backbone}, "
                f"attention {net.config.attention}",
                expected="early fusion on a ResNet without attention or label correlation",
                remedy="Use --overlap exact.",
            )
        self._fusion: Any = fusion
        channels = len(net.band_names)
        weight = next(backbone.parameters())
        trial = torch.zeros(1, channels, _TRIAL, _TRIAL, device=weight.device, dtype=weight.dtype)
        with torch.inference_mode():
            self._stride = _TRIAL // self._features(trial).shape[-1]
        self._patch_size: int = net.patch_size
        self._finest: int = min(net.bands)
        #: Features a side of a patch.
        self._side = -(-fusion.image_size // self._stride)

    def logits(self, groups: Sequence[Tensor], tops: Sequence[int], lefts: Sequence[int]) -> Tensor:
        """Logits (rows, columns, classes) of patches that start at ``tops`` and ``lefts``.

        Args:
            groups: normalised float32 (bands, rows, columns) of each resolution: a stretch.
            tops, lefts: metres from the stretch's upper-left corner, increasing.
        """
        # sums of squares need the digits of float32, whatever convolutions run in
        features = self._features(self._image(groups))[0].float()
        ys, xs = (
            [self._start(metres, count) for metres in starts]
            for starts, count in ((tops, features.shape[1]), (lefts, features.shape[2]))
        )
        mean = self._pool(features, ys, xs)
        if isinstance(self._fusion, EarlyFusion):
            flat = mean.reshape(-1, mean.shape[-1], 1, 1)
            logits: Tensor = self._fusion.backbone.forward_head(flat)
        else:
            variance = (self._pool(features.square(), ys, xs) - mean.square()).clamp(min=0)
            pooled = torch.cat([mean, (variance + _EPSILON).sqrt()], dim=-1)
            logits = self._fusion.head(pooled.reshape(-1, pooled.shape[-1]))
        return logits.float().reshape(len(ys), len(xs), -1)

    def _image(self, groups: Sequence[Tensor]) -> Tensor:
        fusion = self._fusion
        metres = self._patch_size / fusion.image_size
        rows, columns = groups[0].shape[1:]
        size = tuple(round(count * self._finest / metres) for count in (rows, columns))
        image = join_bands([x[None] for x in groups], size, fusion.upsampling)
        return image.contiguous(memory_format=torch.channels_last)

    def _features(self, image: Tensor) -> Tensor:
        fusion = self._fusion
        if isinstance(fusion, EarlyFusion):
            features: Tensor = fusion.backbone.forward_features(image)
            return features
        return run_modules(fusion.backbone, fusion.modules_used, image)

    def _start(self, metres: int, count: int) -> int:
        """The feature nearest to a window's start."""
        pixel: float = metres * self._fusion.image_size / self._patch_size
        nearest: int = min(round(pixel / self._stride), max(0, count - self._side))
        return nearest

    def _pool(self, features: Tensor, ys: Sequence[int], xs: Sequence[int]) -> Tensor:
        """Means (rows, columns, channels) over windows of a patch's side."""
        side = self._side
        rows = torch.stack([features[:, y : y + side].mean(dim=1) for y in ys])
        return torch.stack([rows[:, :, x : x + side].mean(dim=2) for x in xs], dim=1)
