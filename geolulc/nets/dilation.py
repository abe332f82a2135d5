"""A trunk's feature map on a finer grid, with the weights it has ("à trous", Holschneider 1989).

Where a strided convolution skips every other place, all places are kept instead, and what follows
reads every other one of them: the features at the old places stay what they were, and those in
between are what the trunk would have said of an image shifted by half a stride. It costs four
times the convolutions after the first stride that is taken out, where shifted passes cost four
times all of them.

Only what looks at the whole map changes a little (squeeze and excitation averages over more
places), and the border of zeros around a patch is met at other distances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from geolulc.nets.early import EarlyFusion
from geolulc.nets.intermediate import IntermediateFusion
from geolulc.nets.late import Encoder, LateFusion
from geolulc.nets.location import evidence, trial
from geolulc.nets.network import LandCoverNet
from geolulc.nets.shallow import ShallowFusion


@dataclass(frozen=True)
class _Strided:
    """A module with the strides, in pixels of the trunk's input, of what goes in and comes out."""

    module: nn.Module
    before: int
    after: int


def dilate(net: LandCoverNet, metres: int) -> bool:
    """Give the trunk of ``net``, in place, a grid of at most ``metres``, where it can have one.

    Returns:
        Whether the grid is that fine now. It stays as it was where a stride is taken by something
        else than a convolution of odd size (ConvNeXt, the pooling of some ResNets).
    """
    planned = []
    for trunk, pixel in _trunks(net.fusion, net.patch_size):
        most = max(1, metres // pixel)
        layers = _strides_of(net, trunk, net.patch_size // pixel)
        coarse = [layer for layer in layers if layer.after > most]
        if not all(_can_dilate(layer) for layer in coarse):
            return False
        planned += [(layer, most) for layer in coarse]
    for layer, most in planned:
        module: Any = layer.module
        factor = max(1, layer.before // most)
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
            module.dilation = (factor, factor)
            module.padding = tuple(factor * (k // 2) for k in module.kernel_size)
    return True


def _trunks(fusion: nn.Module, patch_size: int) -> list[tuple[nn.Module, int]]:
    """Trunks to dilate with the metres of their input's pixels."""
    if isinstance(fusion, EarlyFusion | ShallowFusion):
        return [(fusion, patch_size // fusion.image_size)]
    if isinstance(fusion, IntermediateFusion):
        return [(fusion.backbone, patch_size // fusion.image_size)]
    if isinstance(fusion, LateFusion):
        # a shallow encoder of 60 m bands is on a grid of 480 m: there is little to refine
        encoders = fusion.by_resolution().values()
        return [(e, patch_size // e.image_size) for e in encoders if isinstance(e, Encoder)]
    return []


def _strides_of(net: LandCoverNet, trunk: nn.Module, pixels: int) -> list[_Strided]:
    """Convolutions and poolings of ``trunk`` with their strides, as a patch passes."""
    found: list[_Strided] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        before, after = (
            2 ** round(math.log2(pixels / side)) for side in (inputs[0].shape[-1], output.shape[-1])
        )
        found.append(_Strided(module, before, after))

    kinds = nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d
    hooks = [m.register_forward_hook(note) for m in trunk.modules() if isinstance(m, kinds)]
    try:
        with torch.no_grad():
            evidence(net, *trial(net))
    finally:
        for hook in hooks:
            hook.remove()
    # what pools to a single value (squeeze and excitation) has no place
    return [layer for layer in found if layer.after < pixels]


def _can_dilate(layer: _Strided) -> bool:
    module = layer.module
    if not isinstance(module, nn.Conv2d):
        return False
    # subclasses pad in ways of their own
    odd = all(k % 2 == 1 for k in module.kernel_size)
    padded = all(p == k // 2 for p, k in zip(module.padding, module.kernel_size, strict=True))
    return type(module) is nn.Conv2d and odd and padded and module.dilation == (1, 1)
