"""Bands and feature maps on a grid of another size over the same ground."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def resize(x: Tensor, size: Sequence[int], upsampling: str = "bilinear") -> Tensor:
    """``x`` (N, channels, rows, columns) at ``size`` (rows, columns), "bilinear" or "nearest".

    Bilinear halving is the mean of 2 × 2 pixels. To less than half the size, bilinear is
    antialiased: it would leave out pixels between those that it takes.
    """
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    if upsampling == "nearest":
        return functional.interpolate(x, tuple(size), mode="nearest")
    thinned = any(2 * n < m for n, m in zip(size, x.shape[-2:], strict=True))
    return functional.interpolate(
        x, tuple(size), mode=upsampling, align_corners=False, antialias=thinned
    )


def join_bands(groups: Sequence[Tensor], size: Sequence[int], upsampling: str) -> Tensor:
    """Groups (N, bands, …, …) of some resolutions → one image (N, all bands, rows, columns)."""
    return torch.cat([resize(x, size, upsampling) for x in groups], dim=1)
