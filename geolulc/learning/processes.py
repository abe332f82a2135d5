"""Data-parallel training: the processes that torchrun starts, as one value.

Every process takes its part of each batch; gradients and batch statistics are those of the whole
batch, so N processes give what one gives with the same batch size (up to the order of sums, and
except dropout, which each process draws for itself).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from geolulc.errors import ParameterError


@dataclass(frozen=True)
class Processes:
    """This process among ``count``; ``rank`` 0 writes."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """``tensor`` summed over the processes, in place."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether ``flag`` is set in any process."""
        if self.count == 1:
            return flag
        return bool(self.sum(torch.tensor(int(flag), device=device)).item())

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            dist.barrier()


#: One process, without any to share with.
ALONE: Final = Processes()


def join_processes(device: torch.device) -> tuple[Processes, torch.device]:
    """The processes torchrun started, and this one's device; one process without torchrun."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return ALONE, device
    if device.type == "mps":
        raise ParameterError(
            "device",
            found=f"mps with {count} processes",
            expected="cpu or cuda for more than one process",
            remedy="Use --device cpu or start one process.",
        )
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Processes(dist.get_rank(), dist.get_world_size()), device


def leave_processes() -> None:
    """Leave the processes that ``join_processes`` joined."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def share_batch_statistics(net: nn.Module, processes: Processes, device: torch.device) -> nn.Module:
    """``net`` with batch normalisation over the whole batch instead of a process's part.

    torch's SyncBatchNorm on CUDA; on the CPU, where there is none, layers of the same meaning.
    """
    if processes.count == 1:
        return net
    if device.type == "cuda":
        from timm.layers import convert_sync_batchnorm

        converted: nn.Module = convert_sync_batchnorm(net)
        return converted
    for name, child in net.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(net, name, _GlobalBatchNorm(child))
        else:
            share_batch_statistics(child, processes, device)
    return net


class _GlobalBatchNorm(nn.BatchNorm2d):
    """``layer`` with mean and variance over all processes; tensors and names are the same."""

    def __init__(self, layer: nn.BatchNorm2d) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum, layer.affine)
        self.weight, self.bias = layer.weight, layer.bias
        self.running_mean, self.running_var = layer.running_mean, layer.running_var
        self.num_batches_tracked = layer.num_batches_tracked
        # timm's layers carry their dropout and activation
        self.after = nn.Sequential(
            *(getattr(layer, part) for part in ("drop", "act") if hasattr(layer, part))
        )
        self.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W); in training by the statistics of all processes."""
        if not self.training:
            return cast(Tensor, self.after(super().forward(x)))
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            raise TypeError("batch normalisation without running statistics")
        count = _total(torch.tensor(x.numel() / x.shape[1]))
        mean = _total(x.sum(dim=(0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = _total(centred.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        y = centred * scale[:, None, None] + self.bias[:, None, None]
        return cast(Tensor, self.after(y))


def _total(part: Tensor) -> Tensor:
    """Sum over all processes; gradients are summed too, as each part changes every loss."""
    return cast(Tensor, all_reduce(part))  # type: ignore[no-untyped-call]
