"""Vectors that describe patches: plain band statistics, or the features of an encoder."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geolulc.datasets import Store
from geolulc.datasets.loader import PatchLoader
from geolulc.learning.networks import memory_format
from geolulc.learning.patches import normalisation_of
from geolulc.learning.task import head_layer
from geolulc.nets import LandCoverNet
from geolulc.nets.devices import choose_device

#: Patches of a region that features are taken from, at most: enough for mean and covariance.
SAMPLE: Final = 2000
_BATCH: Final = 64


def sample(positions: NDArray[np.int64], count: int, seed: int = 0) -> NDArray[np.int64]:
    """``count`` of ``positions``, drawn by ``seed``, in random order."""
    return np.random.default_rng([seed, 0xFEA]).choice(positions, count, replace=False)


def spectral_features(store: Store, positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean and standard deviation over the patch of each band, standardised: (n, 24).

    In the order of ``bands.GROUPS``, in standard deviations of the store's train split.
    """
    normalisation = normalisation_of(store)
    mean = np.array(list(normalisation.mean.values()))
    std = np.array(list(normalisation.std.values()))
    rows = []
    for batch in PatchLoader(store, positions, _BATCH, shuffle=False):
        groups = [b.numpy().astype(np.float64) for b in batch.groups]
        means = np.concatenate([g.mean(axis=(2, 3)) for g in groups], axis=1)
        deviations = np.concatenate([g.std(axis=(2, 3)) for g in groups], axis=1)
        rows.append(np.concatenate([(means - mean) / std, deviations / std], axis=1))
    return np.concatenate(rows)


@torch.inference_mode()
def encoder_features(
    net: LandCoverNet, store: Store, positions: NDArray[np.int64], device: str = "auto"
) -> NDArray[np.float64]:
    """The input of the last layer of ``net`` for each patch, float64 (n, features)."""
    place = choose_device(device)
    net = net.to(place).eval()
    caught: list[Tensor] = []

    def catch(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        caught.append(inputs[0].float().cpu())

    hook = head_layer(net).register_forward_pre_hook(catch)
    layout = memory_format(place)
    try:
        for batch in PatchLoader(store, positions, _BATCH, shuffle=False, bands=net.bands):
            inputs = net.preprocess(*batch.groups_on(place))
            net.classify(*(x.contiguous(memory_format=layout) for x in inputs))
    finally:
        hook.remove()
    return np.asarray(torch.cat(caught).numpy(), np.float64)
