"""Logits of a network for the patches of a split."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from geolulc.learning.networks import memory_format
from geolulc.learning.patches import SplitPatches
from geolulc.learning.processes import Processes
from geolulc.nets import LandCoverNet
from geolulc.nets.devices import autocast

#: Called with (done, total).
Progress = Callable[[int, int], None]


@torch.inference_mode()
def score(
    net: LandCoverNet,
    patches: SplitPatches,
    *,
    device: torch.device,
    dtype: torch.dtype | None = None,
    batch_size: int = 64,
    workers: int = 0,
    processes: Processes | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Logits float32 (n, classes) of all ``patches``, each exactly once, in their order.

    ``net`` is on ``device``; it is left in the mode it was in. Several processes share the work,
    and each has the whole result.
    """
    processes = processes or Processes()
    loader = patches.loader(
        batch_size,
        device=device,
        workers=workers,
        rank=processes.rank,
        processes=processes.count,
    )
    logits = torch.zeros(len(patches), len(net.classes), device=device)
    layout = memory_format(device)
    training = net.training
    net.eval()
    done = 0
    for batch in loader:
        b10, b20, b60 = (b.to(device, non_blocking=True) for b in batch[:3])
        inputs = net.preprocess(b10, b20, b60)
        with autocast(dtype, device):
            part = net.classify(*(x.contiguous(memory_format=layout) for x in inputs))
        places = torch.from_numpy(patches.places(batch))
        logits[places.to(device)] = part.float()
        done += len(places)
        if progress is not None:
            progress(done * processes.count, len(patches))
    net.train(training)
    return np.asarray(processes.sum(logits).cpu().numpy(), np.float32)
