"""From a config to a network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from geolulc.bands import GROUPS
from geolulc.errors import ParameterError
from geolulc.nets.config import NetConfig
from geolulc.nets.early import EarlyFusion
from geolulc.nets.network import LandCoverNet
from geolulc.nets.normalisation import Normalisation


def build_net(
    config: NetConfig,
    *,
    classes: Sequence[str],
    nomenclature: str,
    normalisation: Normalisation,
    patch_size: int = 1200,
    cooccurrence: NDArray[np.float64] | None = None,
    pretrained: Path | None = None,
    seed: int | None = None,
) -> LandCoverNet:
    """A network with fresh weights, in training mode, on the CPU.

    Args:
        config: the architecture.
        classes: class names, in the order of the logits.
        nomenclature: where the names are from: "ben19" or "clc43".
        normalisation: mean and std of each band, of the train split.
        patch_size: side of a patch on the ground, in metres.
        cooccurrence: (C, C), share of the train patches that carry both classes ``i`` and ``j``
            (diagonal: that carry ``i``), ``targets.T @ targets / len(targets)``; needed by label
            correlation.
        pretrained: a local file of weights to start the encoders from.
        seed: makes the weights repeatable; the global random state stays as it was.

    Raises:
        ParameterError: the config cannot be built.
        CheckpointError: ``pretrained`` cannot be used.
    """
    if config.label_correlation == "on" or pretrained is not None:
        raise ParameterError(
            "network",
            found="label correlation or pretrained weights",
            expected="neither, for now",
            remedy="Leave them out.",
        )
    with _seeded(seed):
        fusion = build_fusion(config, GROUPS, len(classes))
    return LandCoverNet(
        fusion,
        config=config,
        classes=classes,
        nomenclature=nomenclature,
        normalisation=normalisation,
        patch_size=patch_size,
    )


def build_fusion(
    config: NetConfig, bands: Mapping[int, tuple[str, ...]], num_classes: int
) -> nn.Module:
    """The part that ``config.fusion`` names."""
    if config.fusion != "early":
        raise ParameterError(
            "fusion",
            found=config.fusion,
            expected="early, for now",
            remedy="Use --fusion early.",
        )
    return EarlyFusion(config, bands, num_classes)


def build_label_correlation(config: NetConfig, num_classes: int) -> nn.Module | None:
    """The part that refines logits by co-occurrence, None where it is off."""
    if config.label_correlation == "off":
        return None
    raise ParameterError(
        "label correlation", found="on", expected="off, for now", remedy="Leave it off."
    )


@contextlib.contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
