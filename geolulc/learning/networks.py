"""The network of a training run, and the same over several processes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from geolulc.learning.config import TrainConfig
from geolulc.learning.patches import SplitPatches, cooccurrence_of, normalisation_of
from geolulc.learning.processes import Processes
from geolulc.nets import LandCoverNet, NetConfig, build_net


def make_net(patches: SplitPatches, config: TrainConfig, device: torch.device) -> LandCoverNet:
    """The network of ``config``, on ``device``, for the train split ``patches``."""
    store = patches.store
    net = build_net(
        net_config(config),
        classes=store.nomenclature.names,
        nomenclature=store.nomenclature.id,
        normalisation=normalisation_of(store),
        cooccurrence=cooccurrence_of(patches.targets),
        pretrained=Path(config.pretrained) if config.pretrained else None,
        seed=config.seed,
    )
    # two steps: together, mypy knows no such overload
    return net.to(device).to(memory_format=memory_format(device))


def net_config(config: TrainConfig) -> NetConfig:
    """The part of ``config`` that is about the network."""
    return NetConfig(
        fusion=config.fusion,
        backbone=config.backbone,
        attention=config.attention,
        label_correlation=config.label_correlation,
        drop_rate=config.drop_rate,
        drop_path_rate=config.drop_path_rate,
        trunk=config.trunk,
        image_size=config.image_size,
    )


class Classifier(nn.Module):
    """``net.classify`` as a module's forward, which is what DistributedDataParallel calls."""

    def __init__(self, net: LandCoverNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x10: Tensor, x20: Tensor, x60: Tensor) -> Tensor:
        """Logits (N, C) of network input."""
        return self.net.classify(x10, x20, x60)


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
