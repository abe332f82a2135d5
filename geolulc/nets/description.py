"""The description of a model for ``geolulc info``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from geolulc.bands import GROUPS, RESOLUTIONS
from geolulc.nets.checkpoint import find_checkpoint, load_checkpoint
from geolulc.nets.model import Model
from geolulc.nets.network import SIDES, LandCoverNet


def describe_model(path: Path | str, *, band_order: str | None = None) -> dict[str, Any]:
    """A JSON-able description of a checkpoint: architecture, size, classes, provenance.

    Args:
        path: as for ``load_checkpoint``.
        band_order: likewise.

    Raises:
        CheckpointError: as ``load_checkpoint``.
    """
    model = load_checkpoint(path, band_order=band_order)
    file = find_checkpoint(path)
    net = model.net
    return {
        "kind": "model",
        "path": str(file),
        "name": model.name,
        "sha256": model.sha256,
        "bytes": file.stat().st_size,
        **describe_net(net),
        # a pixel has the most probable class
        **({} if net.task == "pixel" else {"thresholds": _thresholds(model)}),
        "temperature": model.temperature,
        "provenance": dict(model.provenance),
    }


def describe_net(net: LandCoverNet) -> dict[str, Any]:
    """Architecture, size and inputs of a network, JSON-able."""
    return {
        **net.config.as_mapping(),
        "joins": {f"{r} m": where for r, where in joins(net).items()},
        "initialisation": dict(net.initialisation),
        "parameters": count_parameters(net),
        "multiply_adds": count_multiply_adds(net),
        "bands": {f"{r} m": list(names) for r, names in net.bands.items()},
        "patch_size": net.patch_size,
        **_windows(net),
        "nomenclature": net.nomenclature,
        "classes": list(net.classes),
        "normalisation": {
            "mean": dict(net.normalisation.mean),
            "std": dict(net.normalisation.std),
        },
    }


def _thresholds(model: Model) -> dict[str, float]:
    return dict(zip(model.net.classes, model.thresholds, strict=True))


def _windows(net: LandCoverNet) -> dict[str, int]:
    if net.task != "pixel":
        return {}
    return {"window_multiple": net.pixel_multiple, "window_margin": net.margin}


def joins(net: LandCoverNet) -> dict[int, str]:
    """Resolution → where its bands join, in words."""
    return dict(getattr(net.fusion, "joins", {}))


def count_parameters(net: LandCoverNet) -> int:
    """Number of trained parameters."""
    return sum(p.numel() for p in net.parameters())


def count_multiply_adds(net: LandCoverNet) -> int:
    """Multiply-adds of convolutions and matrix products for one patch, as torch counts them."""
    was_training = net.training
    net.eval()
    device = next(net.parameters()).device
    patch = [
        torch.ones(1, len(GROUPS[r]), SIDES[r], SIDES[r], dtype=torch.int32, device=device)
        for r in RESOLUTIONS
    ]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(*patch)
    net.train(was_training)
    # torch counts a multiply-add as two operations
    return int(counter.get_total_flops()) // 2
