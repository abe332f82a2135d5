"""Optimiser, learning rate and the running average of weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from geolulc.learning.config import TrainConfig
from geolulc.learning.networks import last_layer
from geolulc.learning.plan import Plan
from geolulc.nets import LandCoverNet

_MOMENTUM = 0.9


def make_optimizer(net: LandCoverNet, config: TrainConfig) -> Optimizer:
    """AdamW or SGD over the weights of ``net`` that learn; norms and biases do not decay.

    "share" of a group is what its rate is of ``learning_rate``.
    """
    learning = [p for p in net.parameters() if p.requires_grad]
    trunk = _trunk(net) if config.trunk_rate != 1 else set()
    groups = [
        {
            "params": [p for p in learning if (p.ndim > 1) == wide and (p in trunk) == slow],
            "weight_decay": config.weight_decay if wide else 0.0,
            "share": config.trunk_rate if slow else 1.0,
        }
        for slow in (False, True)
        for wide in (True, False)
    ]
    groups = [g for g in groups if g["params"]]
    if config.optimizer == "sgd":
        return SGD(groups, lr=config.learning_rate, momentum=_MOMENTUM, nesterov=True)
    # fused kernels on the GPU only: on the CPU the plain loop is as fast for small networks
    fused = any(p.is_cuda for p in learning)
    return AdamW(groups, lr=config.learning_rate, fused=fused)


def _trunk(net: LandCoverNet) -> set[nn.Parameter]:
    """The weights of the encoders, without the layer that gives the logits."""
    fusion: Any = net.fusion
    found = {p for encoder in fusion.encoders() for p in encoder.backbone.parameters()}
    last = last_layer(net)
    return found - set(last.parameters() if last is not None else ())


def learning_rate(config: TrainConfig, step: int, plan: Plan) -> float:
    """The rate of step ``step`` (from 0): linear warm-up, then a cosine to 0 at the last step."""
    # a short run still has to learn something after its warm-up
    warmup = min(round(config.warmup_epochs * plan.steps), plan.total // 2)
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(plan.total - warmup, 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float, step: int) -> None:
    """Move ``average`` towards ``net`` after step ``step`` (from 0).

    The decay starts small, (1 + step) / (10 + step), so that the first random weights are soon
    forgotten (the rule of TensorFlow's ExponentialMovingAverage); 0 copies ``net``. Buffers
    (batch statistics) are averaged as weights are; whole numbers are copied. torch's AveragedModel
    copies at its first step and puts "module." before the names that saved states have.
    """
    decay = min(decay, (1 + step) / (10 + step))
    pairs = list(zip(average.state_dict().values(), net.state_dict().values(), strict=True))
    moving = [p for p in pairs if p[0].is_floating_point()]
    # one launch on a GPU for all of them
    torch._foreach_lerp_([old for old, _ in moving], [new for _, new in moving], 1 - decay)
    for old, new in pairs:
        if not old.is_floating_point():
            old.copy_(new)
