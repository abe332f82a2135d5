"""The parts of training that depend on the task: loss, validation, and the model to keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax
from torch import Tensor

from geolulc import __version__
from geolulc.datasets.ground import Ground
from geolulc.domain import KEY
from geolulc.errors import DatasetError
from geolulc.learning import metrics
from geolulc.learning.calibration import (
    choose_thresholds,
    fit_calibration,
    fit_softmax_calibration,
)
from geolulc.learning.config import TrainConfig
from geolulc.learning.fractions import FractionFigures, cover_losses, fraction_loss
from geolulc.learning.losses import make_loss
from geolulc.learning.patches import SplitPatches
from geolulc.learning.pixel_losses import make_pixel_loss, taught_loss, weight_shifts
from geolulc.learning.pixel_metrics import class_figures, overall_figures
from geolulc.learning.scoring import score, score_fractions, score_pixels
from geolulc.nets import Calibration, LandCoverNet, Model

#: Calibration and thresholds that were fitted on validation; no thresholds for pixels.
Fitted = tuple[Calibration, tuple[float, ...]]


@dataclass(frozen=True)
class Validation:
    """The figures of a network on the held-out patches.

    Attributes:
        figures: columns of the history.
        by_class: class name → figure, None for a class that does not occur.
        calibrate: fits calibration and thresholds, which takes time: only for an epoch to keep.
    """

    figures: Mapping[str, float]
    by_class: Mapping[str, float | None]
    calibrate: Callable[[], Fitted]


@dataclass(frozen=True)
class Objective:
    """A task's part in training.

    Attributes:
        loss: (logits, targets) of a batch → loss of each patch, (N,). Targets are labels (N, C),
            or of pixels: classes, uint8 (N, rows, columns), of fractions too, or a teacher's
            probabilities.
        validate: network → its figures on the held-out patches; keywords are as for ``score``.
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    validate: Callable[..., Validation]


def make_objective(
    config: TrainConfig,
    patches: SplitPatches,
    held_out: SplitPatches,
    device: torch.device,
    classes: NDArray[np.bool_] | None = None,
) -> Objective:
    """The objective of ``config.task`` for train and held-out patches.

    ``classes``, bool (C,), are those that count for patches; None for all.
    """
    if config.teacher:
        return Objective(taught_loss, partial(_validate_taught, held_out))
    if config.task == "pixel":
        shares = torch.from_numpy(patches.pixel_shares).to(device)
        shifts = weight_shifts(config, patches.pixel_shares)
        loss = make_pixel_loss(config, shares, patches.store.layout.pixel)
        return Objective(loss, partial(_validate_pixels, held_out, shifts))
    if config.task == "fraction":
        return Objective(fraction_loss, partial(_validate_fractions, held_out, config))
    frequencies = torch.from_numpy(patches.targets.mean(axis=0)).to(device)
    counted = None if classes is None else torch.from_numpy(classes).to(device)
    return Objective(
        make_loss(config, frequencies, counted),
        partial(_validate_patches, held_out, config.threshold_beta),
    )


def _validate_patches(
    held_out: SplitPatches, beta: float, net: LandCoverNet, **scoring: Any
) -> Validation:
    """Loss, average precision (macro, micro) and F1 at 0.5; NaN without patches."""
    logits, truth = score(net, held_out, **scoring), held_out.targets
    scores, some = expit(logits), len(truth) > 0
    by_class = metrics.average_precision(truth, scores)

    def calibrate() -> Fitted:
        fitted = fit_calibration(logits, truth)
        return fitted, choose_thresholds(truth, expit(fitted.logits(logits)), beta)

    figures = {
        "val_loss": float(metrics.log_losses(truth, logits).mean()) if some else math.nan,
        "val_ap_macro": metrics.macro(by_class),
        "val_ap_micro": metrics.micro_average_precision(truth, scores),
        "val_f1_micro": metrics.micro_f1(truth, scores >= 0.5) if some else math.nan,
    }
    return Validation(figures, _named(net, by_class), calibrate)


def _validate_pixels(
    held_out: SplitPatches, shifts: NDArray[np.float32], net: LandCoverNet, **scoring: Any
) -> Validation:
    """Loss, mean IoU, F1 and agreement of all labelled pixels, borders among them.

    ``shifts`` float32 (C,) take the weights of the classes out of the logits first.
    """
    scores = score_pixels(net, held_out, shifts, **scoring)
    figures = overall_figures(scores.confusion)
    return Validation(
        {"val_loss": scores.loss, **{f"val_{k}": v for k, v in figures.items()}},
        _named(net, class_figures(scores.confusion)["iou"]),
        lambda: (fit_softmax_calibration(scores.logits, scores.truth, shifts), ()),
    )


def _validate_taught(held_out: SplitPatches, net: LandCoverNet, **scoring: Any) -> Validation:
    """Those of ``_validate_pixels`` against the teacher's classes; its probabilities are kept."""
    unweighted = np.zeros(len(net.classes), np.float32)
    found = _validate_pixels(held_out, unweighted, net, **scoring)
    return replace(found, calibrate=lambda: (Calibration(), ()))


def _validate_fractions(
    held_out: SplitPatches, config: TrainConfig, net: LandCoverNet, **scoring: Any
) -> Validation:
    """Loss, overlap with the reference, and mean absolute error by class; NaN without patches."""
    logits, covers = score_fractions(net, held_out, **scoring)
    figures = FractionFigures(covers, softmax(logits, axis=1), held_out.clusters)
    whole = figures.whole

    def calibrate() -> Fitted:
        fitted = fit_softmax_calibration(logits, covers)
        there = (covers > 0).astype(np.float32)
        fractions = softmax(fitted.logits(logits), axis=1)
        return fitted, choose_thresholds(there, fractions, config.threshold_beta)

    shown = {f"val_{name}": whole[name] for name in ("overlap", "mae", "area_error")}
    return Validation(
        {"val_loss": cover_losses(covers, logits), **shown},
        _named(net, figures.of_class("mae", whole)),
        calibrate,
    )


def _named(net: LandCoverNet, figures: NDArray[np.float64]) -> dict[str, float | None]:
    values = figures.tolist()
    return {n: v if math.isfinite(v) else None for n, v in zip(net.classes, values, strict=True)}


def require_validation(held_out: SplitPatches, config: TrainConfig) -> None:
    """Raise ``DatasetError`` where the best epoch is wanted and ``held_out`` has no label."""
    by_pixel = held_out.masks or config.teacher
    nothing = not len(held_out) if by_pixel else not held_out.targets.any()
    if config.select == "best" and nothing:
        raise DatasetError(
            held_out.store.path,
            found="no labelled patch in the split val",
            expected="patches to choose the best epoch by",
            remedy="Prepare a store with a val split (--splits), or --set select=last.",
        )


def kept_model(
    net: LandCoverNet,
    fitted: Fitted,
    patches: SplitPatches,
    held_out: SplitPatches,
    ground: Ground,
    config: TrainConfig,
    figures: Mapping[str, float],
    environment: Mapping[str, Any],
    name: str,
) -> Model:
    """``net`` with calibration and thresholds (``fitted``), its provenance and training ground."""
    calibration, thresholds = fitted
    provenance = {
        "made_by": f"geolulc {__version__}",
        "environment": dict(environment),
        "data": {
            "store": patches.store.path.name,
            "archives": sorted({a["dataset"] for a in patches.store.manifest["archives"]}),
            # of pixels and labels
            "train": patches.identity(),
            "val": held_out.identity(),
        },
        "train_patches": len(patches),
        "val_patches": len(held_out),
        "train_positives": dict(
            zip(net.classes, patches.targets.sum(axis=0).astype(int).tolist(), strict=True)
        ),
        KEY: patches.domain(net.band_names).as_mapping(),
        **patches.origin,
        "config": {key: _public(value) for key, value in config.as_mapping().items()},
        "epoch": int(figures["epoch"]),
        "validation": {
            k.removeprefix("val_"): v
            for k, v in figures.items()
            if k.startswith("val_") and math.isfinite(v)
        },
    }
    return Model(
        net,
        thresholds=thresholds,
        calibration=calibration,
        provenance=provenance,
        name=name,
        ground=ground,
    )


def _public(value: Any) -> Any:
    """A setting as others may read it: of a file or folder of this machine its name alone."""
    there = isinstance(value, str) and "/" in value and Path(value).exists()
    return Path(value).name if there else value
