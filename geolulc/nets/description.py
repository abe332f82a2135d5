"""The description of a model for ``geolulc info``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from geolulc.domain import KEY
from geolulc.nets.checkpoint import find_checkpoint, load_checkpoint
from geolulc.nets.checkpoint_settings import by_class
from geolulc.nets.network import LandCoverNet
from geolulc.nets.stages import evaluating


def describe_model(path: Path | str, *, band_order: str | None = None) -> dict[str, Any]:
    """A JSON-able description of a checkpoint: architecture, size, classes, provenance.

    Args:
        path: as for ``load_checkpoint``.
        band_order: of a published model whose name does not tell its version, as for
            ``load_checkpoint``.

    Raises:
        CheckpointError: as ``load_checkpoint``.
    """
    model = load_checkpoint(path, band_order=band_order)
    file = find_checkpoint(path)
    net = model.net
    calibration = model.calibration
    lines = {"slopes": calibration.slopes, "shifts": calibration.shifts}
    provenance = dict(model.provenance)
    domain = provenance.pop(KEY, None)
    return {
        "kind": "model",
        "path": str(file),
        "name": model.name,
        "sha256": model.sha256,
        "bytes": file.stat().st_size,
        **describe_net(net),
        # a pixel has the most probable class
        **({} if net.task == "pixel" else {"thresholds": by_class(net.classes, model.thresholds)}),
        "temperature": calibration.temperature,
        **{name: by_class(net.classes, values) for name, values in lines.items() if values},
        "training_ground": {zone: len(own) for zone, own in model.ground.zones.items()},
        "provenance": provenance,
        **({} if domain is None else {KEY: domain}),
    }


def describe_net(net: LandCoverNet) -> dict[str, Any]:
    """Architecture, size and inputs of a network, JSON-able."""
    prior = net.geographic_prior
    windows = {"window_multiple": net.pixel_multiple, "window_margin": net.margin}
    return {
        **net.config.as_mapping(),
        "joins": {f"{r} m": where for r, where in getattr(net.fusion, "joins", {}).items()},
        "initialisation": dict(net.initialisation),
        "parameters": sum(p.numel() for p in net.parameters()),
        "multiply_adds": count_multiply_adds(net),
        "bands": {f"{r} m": list(names) for r, names in net.bands.items()},
        "patch_size": net.patch_size,
        "level": net.level,
        "sensor": net.sensor.id,
        "pixel_size": net.sensor.resolutions[0],
        **(windows if net.task == "pixel" else {}),
        "nomenclature": net.nomenclature.id,
        "land_cover": net.nomenclature.as_mapping(),
        "classes": list(net.classes),
        **({} if prior is None else {"geographic_prior_cells": len(prior.places)}),
        "normalisation": {
            "mean": dict(net.normalisation.mean),
            "std": dict(net.normalisation.std),
        },
    }


def count_multiply_adds(net: LandCoverNet) -> int:
    """Multiply-adds of convolutions and matrix products for one patch, as torch counts them."""
    device = next(net.parameters()).device
    patch = [torch.ones(1, *shape, dtype=torch.int32, device=device) for shape in net.shapes]
    with evaluating(net), FlopCounterMode(display=False) as counter:
        net(*patch)
    # torch counts a multiply-add as two operations
    return int(counter.get_total_flops()) // 2
