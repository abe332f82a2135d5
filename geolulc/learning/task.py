"""The task of a run: which patches and classes it learns, and which weights it starts from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from geolulc.datasets import Store, open_store
from geolulc.datasets.ground import Ground
from geolulc.errors import CheckpointError, ParameterError
from geolulc.learning.config import TrainConfig
from geolulc.learning.networks import (
    freeze_trunk,
    make_net,
    memory_format,
    net_config,
    output_layer,
)
from geolulc.learning.patches import SplitPatches
from geolulc.learning.plan import Plan
from geolulc.learning.teaching import TaughtPatches
from geolulc.nets import LandCoverNet, load_checkpoint
from geolulc.progress import Progress

# probability 4e-5 at the highest temperature that calibration gives (10), 0 at 1
_ABSENT: Final = -100.0


@dataclass(frozen=True)
class Task:
    """The task of a run; the defaults train the whole network on the whole train split.

    Attributes:
        train: positions in the store to train on, int64 (n,); one that is repeated is seen as
            often in an epoch. None for the train split.
        val: positions to validate on; None for the val split.
        start: checkpoint of the same network and classes whose weights and normalisation to
            start from.
        head_epochs: so many first epochs only the head learns, and the rest, its batch
            statistics included, stays as it is.
        classes: bool (C,), the classes to learn; the others are absent, always. None for all.
        plots: draw history and average precision at the end.
    """

    train: NDArray[np.int64] | None = None
    val: NDArray[np.int64] | None = None
    start: Path | None = None
    head_epochs: int = 0
    classes: NDArray[np.bool_] | None = None
    plots: bool = True

    def patches(
        self,
        store: Store,
        config: TrainConfig,
        device: torch.device,
        progress: Progress | None = None,
    ) -> tuple[SplitPatches, SplitPatches]:
        """The patches to train on and those to validate on, with what a teacher says of them.

        ``progress`` is called with (patches done, patches in all) while it is asked.
        """
        both = _patches(store, (self.train, self.val), config, device, progress)
        if self.classes is not None:
            for patches in both:
                patches.targets *= self.classes
        return both

    def net(self, patches: SplitPatches, config: TrainConfig, device: torch.device) -> LandCoverNet:
        """The network at the start, in training mode, on ``device``.

        Raises:
            CheckpointError: ``start`` cannot be loaded, or is of another network or classes.
        """
        net = self._net(patches, config, device)
        if self.classes is not None:
            close_classes(net, ~self.classes)
        return net

    def _net(
        self, patches: SplitPatches, config: TrainConfig, device: torch.device
    ) -> LandCoverNet:
        if self.start is None:
            return make_net(patches, config, device)
        net = load_checkpoint(self.start).net
        level, expected = patches.store.level, patches.classes
        same = net.classes == expected and patches.nomenclature.agrees(net.nomenclature)
        same = same and net.layout == patches.store.layout
        if config.bands:
            same = same and set(net.band_names) == set(config.names(net.sensor))
        if net.config != net_config(config) or not same or net.level != level:
            raise CheckpointError(
                self.start,
                found=f"{net.config} of {len(net.classes)} classes, {net.level}, {net.layout}",
                expected=f"{net_config(config)} of the {len(expected)} classes of the store, "
                f"{level}, {patches.store.layout}",
                remedy="Start from a checkpoint of the same settings.",
            )
        net.train().requires_grad_(True)
        return net.to(device).to(memory_format=memory_format(device))

    def ground(self, patches: SplitPatches) -> Ground:
        """The ground of ``patches`` and of what the weights at the start were trained on."""
        learned = patches.ground
        return learned if self.start is None else load_checkpoint(self.start).ground | learned

    def identity(self) -> dict[str, str]:
        """The parts of a task that a resumed run must share, besides patches; {} by default."""
        if self.start is None and self.classes is None and not self.head_epochs:
            return {}
        start = b"" if self.start is None else load_checkpoint(self.start).sha256.encode()
        digest = hashlib.sha256(start + (b"" if self.classes is None else self.classes.tobytes()))
        return {"task": f"{digest.hexdigest()[:12]}, head first {self.head_epochs}"}

    def require_processes(self, plan: Plan) -> None:
        """Raise ``ParameterError`` for a frozen trunk over several processes."""
        if (self.head_epochs or plan.frozen) and plan.processes > 1:
            raise ParameterError(
                "head_epochs" if self.head_epochs else "frozen_trunk",
                found=f"{self.head_epochs or plan.frozen} epochs with {plan.processes} processes",
                expected="one process where only a part of the network learns",
                remedy="Start it without torchrun.",
            )

    def set_learning(self, net: LandCoverNet, epoch: int, plan: Plan) -> None:
        """Put ``net`` into training mode for ``epoch`` (from 0): the part of it that learns."""
        net.train()
        if not (self.head_epochs or plan.frozen):
            return
        net.requires_grad_(True)
        if epoch < self.head_epochs:
            net.eval().requires_grad_(False)
            for module in head_modules(net):
                module.train().requires_grad_(True)
        elif epoch < plan.frozen:
            freeze_trunk(net)


def _patches(
    store: Store,
    indices: tuple[NDArray[np.int64] | None, NDArray[np.int64] | None],
    config: TrainConfig,
    device: torch.device,
    progress: Progress | None,
) -> tuple[SplitPatches, SplitPatches]:
    train, val = indices
    if not config.teacher:
        return (
            SplitPatches(store, "train", train, masks=config.masks),
            SplitPatches(store, "val", val, masks=config.masks),
        )
    taught = partial(
        TaughtPatches,
        store,
        teacher=load_checkpoint(config.teacher),
        sight=open_store(config.teacher_store) if config.teacher_store else None,
        seed=config.seed,
        device=device,
        progress=progress,
    )
    return taught("train", train, views=config.teacher_views), taught("val", val)


def head_layer(net: LandCoverNet) -> nn.Linear:
    """The linear layer whose outputs are the logits.

    Raises:
        ParameterError: the backbone ends with something else.
    """
    found = output_layer(net, nn.Linear)
    if not isinstance(found, nn.Linear) or found.bias is None:
        raise ParameterError(
            f"backbone {net.config.backbone}",
            found="no linear layer with a bias at its end",
            expected="one to train or to correct alone",
            remedy="Choose another backbone, or train it whole.",
        )
    return found


@torch.no_grad()
def close_classes(net: LandCoverNet, classes: NDArray[np.bool_]) -> None:
    """Make ``net`` say that ``classes``, bool (C,), are absent from every patch.

    The loss leaves them out, so they get no gradient, and weight decay keeps zeros at 0.
    """
    head = head_layer(net)
    closed = torch.from_numpy(classes).to(head.weight.device)
    head.weight[closed] = 0.0
    head.bias[closed] = _ABSENT


def head_modules(net: LandCoverNet) -> list[nn.Module]:
    """The modules of the head: the last layer, and the label correlation behind it."""
    modules: list[nn.Module] = [head_layer(net)]
    if net.label_correlation is not None:
        modules.append(net.label_correlation)
    return modules
