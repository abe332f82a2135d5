"""How good a model is on a split: predictions first, then every figure from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from geolulc.datasets import Store
from geolulc.errors import CheckpointError
from geolulc.learning import metrics
from geolulc.learning.intervals import Difference, PatchFigures, differences, intervals
from geolulc.learning.patches import SplitPatches
from geolulc.learning.split_figures import (
    SplitFigures,
    figures_by_group,
    rows_by_class,
    score_split,
    subject_of,
)
from geolulc.nets import Model
from geolulc.progress import Progress


@dataclass(frozen=True)
class Predictions:
    """A model's logits for the patches of a split.

    Attributes:
        model: the model.
        patches: the split.
        targets: float32 (n, classes) in the order of the model's classes.
        logits: float32 (n, classes).
    """

    model: Model
    patches: SplitPatches
    targets: NDArray[np.float32]
    logits: NDArray[np.float32]

    @cached_property
    def calibrated(self) -> NDArray[np.float64]:
        """Calibrated logits, float64 (n, classes)."""
        return np.asarray(self.model.calibration.logits(self.logits.astype(np.float64)))

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Calibrated probabilities, float64 (n, classes)."""
        return np.asarray(expit(self.calibrated))

    @cached_property
    def decisions(self) -> NDArray[np.bool_]:
        """Whether each class is present: its probability reaches its threshold, bool (n, C)."""
        return np.asarray(self.probabilities >= np.asarray(self.model.thresholds))

    @cached_property
    def resampled(self) -> PatchFigures:
        """The figures of resampled tiles."""
        return PatchFigures(self.targets, self.probabilities, self.decisions, self.patches.clusters)

    @property
    def errors(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether each class was missed, and whether it was wrongly found, bool (n, C) each."""
        truth = self.targets > 0.5
        return truth & ~self.decisions, self.decisions & ~truth


@dataclass(frozen=True, kw_only=True)
class Evaluation(SplitFigures):
    """Figures of a model of patches.

    Attributes:
        classes: name, support, predicted, threshold, ap, precision, recall, f1, f2, ece and
            expected_observed (Σp/Σy) of each class.
        without_positive: names of the classes that no patch has; they are in no macro mean.
    """

    without_positive: Sequence[str]
    task: ClassVar[str] = "patch"

    @property
    def remarks(self) -> Sequence[str]:
        """Which figures depend on the thresholds, and how far they may be off."""
        return (
            *super().remarks,
            "Ranking figures, average precision and calibration are computed on scores; F, "
            "precision, recall, Hamming loss and exact match on the decisions of the model's "
            "thresholds.",
        )


def predict(
    model: Model,
    store: Store,
    split: str,
    *,
    device: str = "auto",
    indices: NDArray[np.int64] | None = None,
    batch_size: int = 64,
    workers: int = 2,
    progress: Progress | None = None,
) -> Predictions:
    """The logits of ``model`` for every patch of a split, or those at ``indices`` of the store.

    Raises:
        DatasetError: the split has no patch, or the store's classes are not the model's.
        CheckpointError: a model of pixels.
    """
    if model.net.task != "patch":
        raise CheckpointError(
            model.name,
            found=f"a model of the task {model.net.task}",
            expected="one that says which classes are present in a patch",
            remedy="Use evaluate_fractions or evaluate_pixels, as geolulc evaluate does.",
        )
    scored = score_split(
        model,
        store,
        split,
        indices,
        masks=False,
        device=device,
        batch_size=batch_size,
        workers=workers,
        progress=progress,
    )
    return Predictions(model, *scored)


def patch_losses(predictions: Predictions) -> NDArray[np.float64]:
    """Mean binary cross-entropy of each patch with calibrated probabilities, float64 (n,)."""
    losses = metrics.log_losses(predictions.targets, predictions.calibrated)
    return np.asarray(losses.mean(axis=1))


def evaluate(
    model: Model,
    store: Store,
    split: str = "val",
    *,
    device: str = "auto",
    seed_compat: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """All figures of ``model`` on a split: ``predict``, then ``evaluate_predictions``."""
    predictions = predict(model, store, split, device=device, progress=progress)
    return evaluate_predictions(predictions, seed_compat=seed_compat)


def evaluate_predictions(predictions: Predictions, *, seed_compat: bool = False) -> Evaluation:
    """All figures of ``predictions``.

    Args:
        predictions: as ``predict`` gives them.
        seed_compat: add the ranking figures as the seed's code computed them.
    """
    model, patches = predictions.model, predictions.patches
    targets, scores = predictions.targets, predictions.probabilities
    by_class = metrics.class_figures(targets, scores, predictions.decisions)
    by_class |= metrics.calibration_by_class(targets, scores)
    figures = _figures(targets, scores, predictions.decisions)
    figures["ece_uncalibrated"] = metrics.calibration_error(targets, expit(predictions.logits))
    if seed_compat:
        figures |= metrics.seed_ranking_figures(targets, scores)
    rows = rows_by_class(model, {"threshold": np.array(model.thresholds), **by_class})
    return Evaluation(
        **subject_of(model, patches),
        figures=figures,
        classes=rows,
        without_positive=[row["name"] for row in rows if not row["support"]],
        countries=_by_group(predictions, patches.groups["country"]),
        seasons=_by_group(predictions, patches.groups["season"]),
        clusters=predictions.resampled.clusters,
        intervals=intervals(predictions.resampled, predictions.resampled.clusters),
    )


def compare_predictions(first: Predictions, second: Predictions) -> dict[str, Difference]:
    """Figures of two models on the same patches, and their differences, by paired resampling.

    Raises:
        ValueError: they are of other patches.
    """
    if first.patches.identity() != second.patches.identity():
        raise ValueError("predictions of different patches")
    return differences([(first.resampled, second.resampled)], first.resampled.clusters)


def _figures(
    targets: NDArray[np.float32], scores: NDArray[np.float64], decisions: NDArray[np.bool_]
) -> dict[str, float]:
    return {
        "ap_macro": metrics.macro(metrics.average_precision(targets, scores)),
        "ap_micro": metrics.micro_average_precision(targets, scores),
        **metrics.decision_figures(targets, decisions),
        **metrics.ranking_figures(targets, scores),
        "ece": metrics.calibration_error(targets, scores),
        "ece_classes": metrics.macro(metrics.calibration_by_class(targets, scores)["ece"]),
        "expected_observed": metrics.expected_observed(scores.sum(), targets.sum()),
    }


def _by_group(predictions: Predictions, own: NDArray[np.str_]) -> dict[str, dict[str, float]]:
    targets, scores, decisions = (
        predictions.targets,
        predictions.probabilities,
        predictions.decisions,
    )
    return figures_by_group(own, lambda at: _figures(targets[at], scores[at], decisions[at]))
