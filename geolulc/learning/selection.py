"""The epoch that is kept: its validation figures, and its model with provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from geolulc import __version__
from geolulc.errors import DatasetError
from geolulc.learning import metrics
from geolulc.learning.config import TrainConfig
from geolulc.learning.patches import SplitPatches
from geolulc.nets import LandCoverNet, Model


def require_validation(held_out: SplitPatches, config: TrainConfig) -> None:
    """``DatasetError`` where the best epoch is to be chosen and there is nothing to choose by."""
    nothing = not len(held_out) if held_out.masks else not held_out.targets.any()
    if config.select == "best" and nothing:
        raise DatasetError(
            held_out.store.path,
            found="no labelled patch in the split val",
            expected="patches to choose the best epoch by",
            remedy="Prepare a store with a val split (--splits), or --set select=last.",
        )


def validation_figures(
    targets: NDArray[np.float32], logits: NDArray[np.float32]
) -> dict[str, float]:
    """Loss, average precision (macro, micro) and F1 at 0.5 of validation; NaN without patches."""
    if not len(targets):
        return dict.fromkeys(("val_loss", "val_ap_macro", "val_ap_micro", "val_f1_micro"), math.nan)
    scores = expit(logits)
    return {
        "val_loss": float(metrics.log_losses(targets, logits).mean()),
        "val_ap_macro": metrics.macro(metrics.average_precision(targets, scores)),
        "val_ap_micro": metrics.micro_average_precision(targets, scores),
        "val_f1_micro": metrics.micro_f1(targets, scores >= 0.5),
    }


def class_average_precision(
    targets: NDArray[np.float32], logits: NDArray[np.float32], net: LandCoverNet
) -> dict[str, float | None]:
    """Average precision by class name; None for a class without a positive."""
    if not len(targets):
        return dict.fromkeys(net.classes)
    return named_figures(net, metrics.average_precision(targets, expit(logits)))


def named_figures(net: LandCoverNet, figures: NDArray[np.float64]) -> dict[str, float | None]:
    """Class name → figure, of figures float64 (C,); None for NaN."""
    values = figures.tolist()
    return {n: v if math.isfinite(v) else None for n, v in zip(net.classes, values, strict=True)}


def kept_model(
    net: LandCoverNet,
    calibration: tuple[float, tuple[float, ...]],
    patches: SplitPatches,
    held_out: SplitPatches,
    config: TrainConfig,
    figures: Mapping[str, float],
    name: str,
) -> Model:
    """``net`` with temperature and thresholds (``calibration``), and how it came about."""
    temperature, thresholds = calibration
    provenance = {
        "made_by": f"geolulc {__version__}",
        "data": {
            "store": patches.store.path.name,
            "archives": [a["dataset"] for a in patches.store.manifest["archives"]],
        },
        "train_patches": len(patches),
        "val_patches": len(held_out),
        "train_positives": dict(
            zip(net.classes, patches.targets.sum(axis=0).astype(int).tolist(), strict=True)
        ),
        "config": config.as_mapping(),
        "epoch": int(figures["epoch"]),
        "validation": {
            k.removeprefix("val_"): v
            for k, v in figures.items()
            if k.startswith("val_") and math.isfinite(v)
        },
    }
    return Model(
        net, thresholds=thresholds, temperature=temperature, provenance=provenance, name=name
    )
