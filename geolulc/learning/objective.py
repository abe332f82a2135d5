"""What training does by task: the loss of a batch, the figures of an epoch, what is kept of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor

from geolulc.learning.calibration import (
    choose_thresholds,
    fit_softmax_temperature,
    fit_temperature,
)
from geolulc.learning.config import TrainConfig
from geolulc.learning.losses import make_loss
from geolulc.learning.patches import SplitPatches
from geolulc.learning.pixel_losses import make_pixel_loss
from geolulc.learning.pixel_metrics import class_figures, overall_figures
from geolulc.learning.scoring import score, score_pixels
from geolulc.learning.selection import class_average_precision, validation_figures
from geolulc.nets import LandCoverNet

#: (temperature, thresholds) that were fitted on validation; no thresholds for pixels.
Calibration = tuple[float, tuple[float, ...]]


@dataclass(frozen=True)
class Validation:
    """How a network does on the held-out patches.

    Attributes:
        figures: columns of the history.
        by_class: class name → figure, None for a class that does not occur.
        calibrate: fits temperature and thresholds, which takes time: only for an epoch to keep.
    """

    figures: Mapping[str, float]
    by_class: Mapping[str, float | None]
    calibrate: Callable[[], Calibration]


class Objective(Protocol):
    """A task's part in training."""

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Loss of each patch, (N,), of a batch's logits and targets."""

    def validate(self, net: LandCoverNet, **scoring: Any) -> Validation:
        """Figures of ``net`` on the held-out patches; ``scoring`` as for ``score``."""


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
    if config.task == "pixel":
        return PixelObjective(config, patches, held_out, device)
    return PatchObjective(config, patches, held_out, device, classes)


class PatchObjective:
    """Which classes are present in a patch."""

    def __init__(
        self,
        config: TrainConfig,
        patches: SplitPatches,
        held_out: SplitPatches,
        device: torch.device,
        classes: NDArray[np.bool_] | None,
    ) -> None:
        counted = None if classes is None else torch.from_numpy(classes).to(device)
        frequencies = torch.from_numpy(patches.targets.mean(axis=0)).to(device)
        self._loss = make_loss(config, frequencies, counted)
        self._held_out = held_out
        self._beta = config.threshold_beta

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """As ``Objective`` has it; both (N, C)."""
        return self._loss(logits, truth)

    def validate(self, net: LandCoverNet, **scoring: Any) -> Validation:
        """As ``Objective`` has it."""
        logits, truth = score(net, self._held_out, **scoring), self._held_out.targets

        def calibrate() -> Calibration:
            temperature = fit_temperature(logits, truth)
            scores = expit(logits / temperature)
            return temperature, choose_thresholds(truth, scores, self._beta)

        return Validation(
            validation_figures(truth, logits),
            class_average_precision(truth, logits, net),
            calibrate,
        )


class PixelObjective:
    """The class of every pixel."""

    def __init__(
        self,
        config: TrainConfig,
        patches: SplitPatches,
        held_out: SplitPatches,
        device: torch.device,
    ) -> None:
        self._loss = make_pixel_loss(config, torch.from_numpy(patches.pixel_shares).to(device))
        self._held_out = held_out

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """As ``Objective`` has it; (N, C, rows, columns) and uint8 (N, rows, columns)."""
        return self._loss(logits, truth)

    def validate(self, net: LandCoverNet, **scoring: Any) -> Validation:
        """As ``Objective`` has it; borders count here."""
        scores = score_pixels(net, self._held_out, **scoring)
        iou = class_figures(scores.confusion)["iou"].tolist()
        figures = overall_figures(scores.confusion)
        return Validation(
            {"val_loss": scores.loss, **{f"val_{k}": v for k, v in figures.items()}},
            {n: v if math.isfinite(v) else None for n, v in zip(net.classes, iou, strict=True)},
            lambda: (fit_softmax_temperature(scores.logits, scores.truth), ()),
        )
