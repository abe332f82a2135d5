"""What training does by task: the loss of a batch, the figures of an epoch, its calibration."""

from __future__ import annotations

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
from geolulc.learning.selection import class_average_precision, named_figures, validation_figures
from geolulc.nets import LandCoverNet

#: (temperature, thresholds) that were fitted on validation; no thresholds for pixels.
Calibration = tuple[float, tuple[float, ...]]


@dataclass(frozen=True)
class Validation:
    """The figures of a network on the held-out patches.

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
    """The objective of a network that says which classes are present in a patch."""

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
        """Loss of each patch, (N,), of logits and targets (N, C)."""
        return self._loss(logits, truth)

    def validate(self, net: LandCoverNet, **scoring: Any) -> Validation:
        """Figures on the held-out patches; ``scoring`` as for ``score``."""
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
    """The objective of a network that says the class of every pixel."""

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
        """Loss of each patch, (N,), of (N, C, rows, columns) and uint8 (N, rows, columns)."""
        return self._loss(logits, truth)

    def validate(self, net: LandCoverNet, **scoring: Any) -> Validation:
        """Figures of all labelled pixels of the held-out patches, borders among them."""
        scores = score_pixels(net, self._held_out, **scoring)
        figures = overall_figures(scores.confusion)
        return Validation(
            {"val_loss": scores.loss, **{f"val_{k}": v for k, v in figures.items()}},
            named_figures(net, class_figures(scores.confusion)["iou"]),
            lambda: (fit_softmax_temperature(scores.logits, scores.truth), ()),
        )
