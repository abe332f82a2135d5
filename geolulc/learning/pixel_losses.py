"""Losses of pixels that have one class each; they share nothing with those of label sets.

A patch's loss depends on that patch alone: batches may be cut into parts and shared by processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from geolulc.learning.config import TrainConfig
from geolulc.nomenclature import IGNORED

#: (logits (N, C, rows, columns), truth uint8 (N, rows, columns)) → loss of each patch (N,).
PixelLoss = Callable[[Tensor, Tensor], Tensor]

#: A class with one pixel in thousands would drown the others.
_LARGEST_WEIGHT: Final = 10.0
#: Metres a side of the areas that tell whether a class is present: about a hectare.
_AREA: Final = 120
_EPSILON: Final = 1e-6


def make_pixel_loss(config: TrainConfig, shares: Tensor, pixel: int) -> PixelLoss:
    """The loss that ``config`` describes; 0 for a patch without a labelled pixel.

    Args:
        config: pixel_loss, patch_loss, ignore_border, class_weights and label_smoothing.
        shares: float32 (C,), share of each class in the labelled pixels of the train split.
        pixel: metres a side of a pixel.
    """
    weights = pixel_weights(shares) if config.class_weights == "balanced" else None

    def loss(logits: Tensor, truth: Tensor) -> Tensor:
        learned = truth
        if config.ignore_border:
            learned = truth.masked_fill(near_borders(truth, config.ignore_border, pixel), IGNORED)
        known = learned != IGNORED
        # classes of pixels that are not known are never looked at: any will do
        positions = learned.long().masked_fill(~known, 0)
        log_p = torch.log_softmax(logits.float(), dim=1)
        by_pixel = -log_p.gather(1, positions[:, None])[:, 0]
        if config.label_smoothing:
            # towards the class's share, not towards all alike: rare classes stay rare
            expected = -torch.einsum("c,nchw->nhw", shares.to(log_p), log_p)
            by_pixel = torch.lerp(by_pixel, expected, config.label_smoothing)
        if weights is not None:
            by_pixel = by_pixel * weights.to(by_pixel)[positions]
        count = known.sum(dim=(1, 2)).clamp(min=1)
        total = (by_pixel * known).sum(dim=(1, 2)) / count
        if config.pixel_loss == "ce+dice":
            total = total + dice_loss(log_p.exp(), positions, known)
        if config.patch_loss:
            total = total + config.patch_loss * presence_loss(log_p.exp(), positions, known, pixel)
        return total

    return loss


def taught_loss(logits: Tensor, said: Tensor) -> Tensor:
    """Kullback-Leibler divergence of each patch from what a teacher said, mean over pixels, (N,).

    Args:
        logits: (N, C, rows, columns).
        said: probabilities, alike; pixels whose sum is 0 are not known and do not count.
    """
    total = said.sum(dim=1, keepdim=True)
    p = said / total.clamp(min=_EPSILON)
    log_q = torch.log_softmax(logits.float(), dim=1)
    by_pixel = (torch.special.xlogy(p, p) - p * log_q).sum(dim=1)
    count = (total > 0).sum(dim=(1, 2, 3)).clamp(min=1)
    divergence: Tensor = by_pixel.sum(dim=(1, 2)) / count
    return divergence


def pixel_weights(shares: Tensor) -> Tensor:
    """Weight of a class's pixels, (C,): √(1 / share), at most 10, with a mean of 1 over pixels.

    The root, because the full ratio trades large classes for small ones; 1 for a class without a
    pixel.
    """
    weights = shares.clamp(min=1e-12).rsqrt()
    weights = torch.where(shares > 0, weights, torch.ones_like(weights))
    weights = weights / (shares * weights).sum().clamp(min=1e-12)
    return weights.clamp(max=_LARGEST_WEIGHT)


def weight_shifts(config: TrainConfig, shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """What takes class weights out of logits, float32 (C,): ``-log(weight)``; 0 without weights.

    Cross-entropy weighted by w is lowest where the softmax is proportional to ``w · p``.
    """
    if config.class_weights == "none":
        return np.zeros_like(shares)
    return np.asarray(-np.log(pixel_weights(torch.from_numpy(shares)).numpy()), np.float32)


def dice_loss(p: Tensor, positions: Tensor, known: Tensor) -> Tensor:
    """1 - the soft Dice coefficient of each patch, mean over the classes that it has, (N,).

    Milletari et al. (2016), with the sum of probabilities and pixels below the line.

    Args:
        p: probabilities (N, C, rows, columns).
        positions: int64 (N, rows, columns), the class of each pixel.
        known: bool (N, rows, columns), the pixels that count.
    """
    n, classes = p.shape[:2]
    flat = positions.flatten(1)
    counted = known.flatten(1).to(p)
    at_truth = p.gather(1, positions[:, None]).flatten(1) * counted
    empty = torch.zeros(n, classes, device=p.device, dtype=p.dtype)
    overlap = empty.scatter_add(1, flat, at_truth)
    pixels = empty.scatter_add(1, flat, counted)
    said = torch.einsum("nchw,nhw->nc", p, known.to(p))
    present = (pixels > 0).to(p)
    dice = 2 * overlap / (said + pixels).clamp(min=_EPSILON)
    return ((1 - dice) * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)


def presence_loss(p: Tensor, positions: Tensor, known: Tensor, pixel: int) -> Tensor:
    """Binary cross-entropy of the classes present in each patch, mean over classes, (N,).

    A class is as present in a patch as it is in the area of 120 m where there is most of it: its
    share there, in the reference and as the mean of probabilities.

    Args:
        p: probabilities (N, C, rows, columns).
        positions: int64 (N, rows, columns), the class of each pixel.
        known: bool (N, rows, columns), the pixels that count.
        pixel: metres a side of a pixel.
    """
    side = min(max(1, _AREA // pixel), *p.shape[-2:])
    counted = known[:, None].to(p)
    truth = torch.zeros_like(p).scatter(1, positions[:, None], 1.0) * counted
    said, present = (
        F.adaptive_max_pool2d(F.avg_pool2d(x, side), 1).flatten(1) for x in (p * counted, truth)
    )
    said = said.clamp(_EPSILON, 1 - _EPSILON)
    return F.binary_cross_entropy(said, present, reduction="none").mean(dim=1)


def near_borders(truth: Tensor, metres: float, pixel: int) -> Tensor:
    """Pixels that have another class no more than ``metres`` away, from centre to centre.

    Pixels without a class count as a class of their own; nothing is known beyond the edge.

    Args:
        truth: whole numbers (N, rows, columns), one a class.
        metres: the side of a pixel for those that touch a border; 0 for none.
        pixel: metres a side of a pixel.

    Returns:
        bool (N, rows, columns).
    """
    near = torch.zeros(truth.shape, dtype=torch.bool, device=truth.device)
    reach = int(metres // pixel)
    limit = (metres / pixel) ** 2
    rows, columns = truth.shape[-2:]
    # half of the disc is enough: if two pixels differ, both are near a border
    for down in range(min(reach, rows - 1) + 1):
        for right in range(-min(reach, columns - 1), min(reach, columns - 1) + 1):
            if not 0 < down**2 + right**2 <= limit or (down == 0 and right < 0):
                continue
            left, shift = max(-right, 0), max(right, 0)
            here = (..., slice(0, rows - down), slice(left, columns - shift))
            there = (..., slice(down, rows), slice(shift, columns - left))
            differs = truth[here] != truth[there]
            near[here] |= differs
            near[there] |= differs
    return near
