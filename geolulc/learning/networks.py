"""The network of a training run, in one process or in several."""

from __future__ import annotations

import contextlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logit
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from geolulc.errors import ParameterError
from geolulc.learning.config import TrainConfig
from geolulc.learning.geographic_prior import geographic_prior_of
from geolulc.learning.label_sets import label_sets_of
from geolulc.learning.patches import SplitPatches, cooccurrence_of, normalisation_of
from geolulc.learning.processes import Processes
from geolulc.nets import LandCoverNet, NetConfig, build_net
from geolulc.nets.config import DYNAMIC_WORLD, FOREST
from geolulc.nets.normalisation import Normalisation
from geolulc.nets.pixel_classes import PixelClassesFusion
from geolulc.nets.published_dynamic_world import TAKEN_OVER


def make_net(patches: SplitPatches, config: TrainConfig, device: torch.device) -> LandCoverNet:
    """The network of ``config``, on ``device``, for the train split ``patches``.

    Raises:
        ParameterError: ``config`` is of a forest, which takes no steps.
    """
    if config.backbone == FOREST:
        raise ParameterError(
            f"backbone {FOREST}",
            found="a random forest",
            expected="a network, which learns by steps",
            remedy="Choose another backbone.",
        )
    store = patches.store
    bands = store.layout.sensor.select(config.names(store.layout.sensor))
    net = build_net(
        net_config(config),
        classes=patches.classes,
        nomenclature=patches.nomenclature,
        normalisation=normalisation_of(patches.store, bands)
        if config.fusion != DYNAMIC_WORLD
        else Normalisation.none(store.layout.sensor.names),
        bands=bands,
        sensor=store.layout.sensor,
        patch_size=store.layout.size,
        cooccurrence=cooccurrence_of(patches.targets),
        label_sets=label_sets_of(patches, config),
        geographic_prior=geographic_prior_of(patches, config),
        pretrained=Path(config.pretrained) if config.pretrained else None,
        seed=config.seed,
        level=patches.store.level,
    )
    if net.initialisation.get("last layer") != TAKEN_OVER:
        start_at(net, *_first_logits(config, patches))
    # two steps: together, mypy knows no such overload
    return net.to(device).to(memory_format=memory_format(device))


def _first_logits(
    config: TrainConfig, patches: SplitPatches
) -> tuple[type[nn.Linear | nn.Conv2d], NDArray[np.float32]]:
    """The kind of the last layer, and the bias of its start, (C,)."""
    if config.masks:
        kind = nn.Conv2d if config.task == "pixel" else nn.Linear
        return kind, np.log(np.clip(patches.pixel_shares, 1e-4, 1.0))
    if config.label_correlation == "sets":  # they know how often each class is there
        return nn.Linear, np.zeros(len(patches.classes), np.float32)
    return nn.Linear, logit(np.clip(patches.targets.mean(axis=0), 0.01, 0.99))


@torch.no_grad()
def start_at(
    net: LandCoverNet, kind: type[nn.Linear | nn.Conv2d], bias: NDArray[np.float32]
) -> None:
    """Set the last bias of a fresh network to ``bias``, float32 (C,): its first logits.

    At the log-odds of the classes (Lin et al. 2017, section 3.3), or of pixels and fractions at the
    logarithm of their shares: otherwise the first hundred steps only learn that most classes are
    rare.
    """
    last = output_layer(net, kind)
    if last is not None and last.bias is not None:
        last.bias.copy_(torch.from_numpy(bias))


def output_layer(
    net: LandCoverNet, kind: type[nn.Linear | nn.Conv2d]
) -> nn.Linear | nn.Conv2d | None:
    """The last layer of ``kind`` with an output for each class; None where there is none."""
    found = None
    for module in net.fusion.modules():
        if isinstance(module, kind) and len(module.weight) == len(net.classes):
            found = module
    return found


def last_layer(net: LandCoverNet) -> nn.Linear | nn.Conv2d | None:
    """The layer whose outputs are the logits; None for a backbone that ends otherwise."""
    return output_layer(net, nn.Conv2d if net.task == "pixel" else nn.Linear)


def freeze_trunk(net: LandCoverNet) -> None:
    """Let the encoders of ``net`` stay as they are, batch statistics included; not its head.

    A network of pixels inside stays whole.
    """
    fusion: Any = net.fusion
    if isinstance(fusion, PixelClassesFusion):
        fusion.pixels.eval().requires_grad_(False)
    for encoder in fusion.encoders():
        encoder.backbone.eval().requires_grad_(False)
    if (last := last_layer(net)) is not None:
        last.train().requires_grad_(True)


def net_config(config: TrainConfig) -> NetConfig:
    """The part of ``config`` that is about the network."""
    return NetConfig(**{field.name: getattr(config, field.name) for field in fields(NetConfig)})


class Classifier(nn.Module):
    """``net.classify`` as a module's forward, which is what DistributedDataParallel calls."""

    def __init__(self, net: LandCoverNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, *groups: Tensor) -> Tensor:
        """Logits (N, C) of network input."""
        return self.net.classify(*groups)


def parallel(net: LandCoverNet, processes: Processes, device: torch.device) -> nn.Module:
    """``net.classify`` with gradients averaged over the processes."""
    classifier = Classifier(net)
    if processes.count == 1:
        return classifier
    devices = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(classifier, device_ids=devices)


def sharing_gradients(model: nn.Module, share: bool) -> contextlib.AbstractContextManager[object]:
    """Where a backward pass exchanges gradients between processes, or (not ``share``) only adds."""
    if isinstance(model, DistributedDataParallel) and not share:
        return model.no_sync()
    return contextlib.nullcontext()


def memory_format(device: torch.device) -> torch.memory_format:
    """How pixels lie in memory: channels last is faster on CPUs and on CUDA."""
    return torch.contiguous_format if device.type == "mps" else torch.channels_last
