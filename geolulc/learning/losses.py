"""Losses of multi-label classification, for targets anywhere in 0..1.

Smoothed and blended targets lie between 0 and 1: torchvision's focal loss and timm's asymmetric
loss are for targets of 0 and 1, and so not used here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from geolulc.learning.config import TrainConfig

#: (logits (N, C), targets (N, C)) → loss of each patch (N,), mean over classes.
Loss = Callable[[Tensor, Tensor], Tensor]

# Lin et al. 2017, section 5.1: gamma 2
_FOCAL_GAMMA: Final = 2.0
# Ridnik et al. 2021, section 4.1: gamma- 4, gamma+ 0, margin 0.05
_ASL_GAMMA_NEGATIVE: Final = 4.0
_ASL_MARGIN: Final = 0.05
# a class with one positive in thousands would drown the others
_LARGEST_WEIGHT: Final = 10.0


def make_loss(config: TrainConfig, frequencies: Tensor, classes: Tensor | None = None) -> Loss:
    """The loss that ``config`` names.

    Args:
        config: loss, class_weights and label_smoothing.
        frequencies: float32 (C,), share of the train patches that carry each class.
        classes: bool (C,), the classes that count; None for all.
    """
    shape = {"bce": _cross_entropy, "focal": _focal, "asl": _asymmetric}[config.loss]
    weights = positive_weights(frequencies) if config.class_weights == "balanced" else None

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        if config.label_smoothing:
            # towards the class's frequency, not towards 0.5: rare classes stay rare
            prior = frequencies.to(targets)
            targets = torch.lerp(targets, prior.expand_as(targets), config.label_smoothing)
        positive, negative = shape(logits.float())
        if weights is not None:
            positive = positive * weights.to(logits.device)
        by_class = targets * positive + (1 - targets) * negative
        if classes is not None:
            return by_class[:, classes].mean(dim=1)
        return by_class.mean(dim=1)

    return loss


def positive_weights(frequencies: Tensor) -> Tensor:
    """Weight of a class's positives, (C,): √(negatives / positives), 1 to 10.

    The root, because the full ratio trades precision for recall; 1 for a class without positives.
    """
    ratio = (1 - frequencies) / frequencies.clamp(min=1e-12)
    weights = ratio.sqrt().clamp(1.0, _LARGEST_WEIGHT)
    return torch.where(frequencies > 0, weights, torch.ones_like(weights))


def _cross_entropy(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of each logit if its target is 1, and if it is 0."""
    return F.softplus(-logits), F.softplus(logits)


def _focal(logits: Tensor) -> tuple[Tensor, Tensor]:
    p = torch.sigmoid(logits)
    positive, negative = _cross_entropy(logits)
    return (1 - p) ** _FOCAL_GAMMA * positive, p**_FOCAL_GAMMA * negative


def _asymmetric(logits: Tensor) -> tuple[Tensor, Tensor]:
    shifted = (torch.sigmoid(logits) - _ASL_MARGIN).clamp(min=0)
    negative = -torch.log1p(-shifted) * shifted**_ASL_GAMMA_NEGATIVE
    return F.softplus(-logits), negative
