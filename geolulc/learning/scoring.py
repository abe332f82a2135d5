"""Runs a network over a split: gives the logits of patches, or sums over those of pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from geolulc.learning.fractions import covers_of
from geolulc.learning.networks import memory_format
from geolulc.learning.patches import SplitPatches
from geolulc.learning.processes import ALONE, Processes
from geolulc.nets import LandCoverNet
from geolulc.nets.devices import autocast
from geolulc.nomenclature import IGNORED
from geolulc.progress import Progress

#: Pixels whose logits are kept, to calibrate by: 20 MB.
_SAMPLED: Final = 1 << 18
#: At most so many of one patch: neighbours are alike.
_SAMPLED_A_PATCH: Final = 64


@torch.inference_mode()
def classify_patches(
    net: LandCoverNet,
    patches: SplitPatches,
    *,
    device: torch.device,
    dtype: torch.dtype | None = None,
    batch_size: int = 64,
    workers: int = 0,
    processes: Processes = ALONE,
) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor]]:
    """Yield (places, targets, logits) of every batch: each patch once, in one of the processes.

    Logits are those of the patches' places, where the network has a geographic prior.
    ``net`` is on ``device``; it is left in the mode it was in.
    """
    loader = patches.loader(
        batch_size, device=device, workers=workers, processes=processes, bands=net.bands
    )
    layout, training = memory_format(device), net.training
    prior = net.geographic_prior
    shifts = None if prior is None else torch.from_numpy(prior.at(*patches.centres.T)).float()
    net.eval()
    try:
        for batch in loader:
            groups = batch.groups_on(device)
            truth = patches.truth(batch).to(device, non_blocking=True)
            inputs = net.preprocess(*groups)
            with autocast(dtype, device):
                logits = net.classify(*(x.contiguous(memory_format=layout) for x in inputs))
            places = patches.places(batch)
            if shifts is not None:
                logits = logits + shifts[places].to(device)
            yield places, truth, logits
    finally:
        net.train(training)


def score(
    net: LandCoverNet,
    patches: SplitPatches,
    *,
    device: torch.device,
    processes: Processes = ALONE,
    progress: Progress | None = None,
    **loading: Any,
) -> NDArray[np.float32]:
    """Logits float32 (n, classes) of all ``patches``, each exactly once, in their order.

    Several processes share the work, and each has the whole result. ``loading`` is as for
    ``classify_patches``.
    """
    return score_fractions(
        net, patches, device=device, processes=processes, progress=progress, **loading
    )[0]


@torch.inference_mode()
def score_fractions(
    net: LandCoverNet,
    patches: SplitPatches,
    *,
    device: torch.device,
    processes: Processes = ALONE,
    progress: Progress | None = None,
    **loading: Any,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``score``, and of patches with masks ``covers_of`` these, float32 (n, classes) each.

    Logits are in the order of the network's classes, covers in the store's; of patches without
    masks they are 0.
    """
    logits, covers = (torch.zeros(len(patches), len(net.classes), device=device) for _ in range(2))
    done = 0
    for places, truth, found in classify_patches(
        net, patches, device=device, processes=processes, **loading
    ):
        at = torch.from_numpy(places).to(device)
        logits[at] = found.float()
        if patches.masks:
            covers[at] = covers_of(truth, len(net.classes))
        done += len(places)
        if progress is not None:
            progress(done * processes.count, len(patches))
    whole = [processes.sum(values).cpu().numpy() for values in (logits, covers)]
    return whole[0], whole[1]


@dataclass(frozen=True)
class PixelScores:
    """How a pixel network does on a split.

    Attributes:
        confusion: int64 (C, C), see ``pixel_metrics``.
        loss: mean cross-entropy of the labelled pixels; NaN without one.
        logits: float32 (n, C), of a sample of labelled pixels, as the network gives them.
        truth: int64 (n,), their classes.
    """

    confusion: NDArray[np.int64]
    loss: float
    logits: NDArray[np.float32]
    truth: NDArray[np.int64]


@torch.inference_mode()
def score_pixels(
    net: LandCoverNet,
    patches: SplitPatches,
    shifts: NDArray[np.float32],
    *,
    device: torch.device,
    processes: Processes = ALONE,
    **loading: Any,
) -> PixelScores:
    """Scores of all labelled pixels of ``patches`` (with masks), each exactly once; no map is kept.

    ``shifts``, float32 (C,), are added to the logits before confusion and loss are counted.
    Several processes share the work, and each has the whole result. ``loading`` is as for
    ``classify_patches``.
    """
    classes = len(net.classes)
    # the same pixels in every patch: no random numbers to keep
    count = min(_SAMPLED_A_PATCH, max(_SAMPLED // max(len(patches), 1), 1))
    pixels = np.random.default_rng(0).choice(
        math.prod(patches.store.layout.reference_shape), count, replace=False
    )
    chosen = torch.from_numpy(np.sort(pixels)).to(device)
    logits = torch.zeros(len(patches), count, classes, device=device)
    truths = torch.zeros(len(patches), count, dtype=torch.int64, device=device)
    confusion = torch.zeros(classes, classes, dtype=torch.int64, device=device)
    loss = torch.zeros((), dtype=torch.float64, device=device)
    added = torch.from_numpy(shifts).to(device)[:, None, None]
    for at, truth, found in classify_patches(
        net, patches, device=device, processes=processes, **loading
    ):
        shifted = found + added
        confusion += confusion_of(shifted.argmax(dim=1), truth, classes)
        loss += torch.nn.functional.cross_entropy(
            shifted, truth.long(), ignore_index=IGNORED, reduction="sum"
        )
        places = torch.from_numpy(at).to(device)
        logits[places] = found.flatten(2)[:, :, chosen].transpose(1, 2)
        truths[places] = truth.flatten(1)[:, chosen].long()
    for tensor in (confusion, loss, logits, truths):
        processes.sum(tensor)
    labelled = truths != IGNORED
    total = int(confusion.sum())
    return PixelScores(
        confusion.cpu().numpy(),
        float(loss) / total if total else math.nan,
        logits[labelled].cpu().numpy(),
        truths[labelled].cpu().numpy(),
    )


def confusion_of(mapped: Tensor, truth: Tensor, classes: int) -> Tensor:
    """int64 (C, C) of a map and its reference, (N, rows, columns) each; 255 is not counted."""
    matrix: Tensor = multiclass_confusion_matrix(
        mapped, truth.long(), classes, ignore_index=IGNORED, validate_args=False
    )
    return matrix
