"""The figures of a model on a split, and their report, whatever the model's task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolulc.datasets import Store
from geolulc.learning.evaluation import Predictions, evaluate_predictions, predict
from geolulc.learning.fraction_evaluation import (
    evaluate_fractions,
    predict_fractions,
    write_fraction_report,
)
from geolulc.learning.pixel_evaluation import evaluate_pixels
from geolulc.learning.pixel_report import write_pixel_report
from geolulc.learning.report import write_report
from geolulc.learning.split_figures import SplitFigures
from geolulc.nets import Model
from geolulc.progress import Progress


@dataclass(frozen=True)
class Evaluated:
    """A model on a split.

    Attributes:
        figures: those of its task.
        write_report: (folder, overwrite=…): writes its report.
        predictions: of a model of patches; None of others.
    """

    figures: SplitFigures
    write_report: Callable[..., None]
    predictions: Predictions | None = None


def evaluate_model(
    model: Model,
    store: Store,
    split: str,
    *,
    indices: NDArray[np.int64] | None = None,
    baseline: bool = False,
    seed_compat: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> Evaluated:
    """All figures of ``model``.

    Args:
        model: of any task.
        store: of the patches.
        split: "train", "val" or "test".
        indices: positions in the store in place of the whole split.
        baseline: of a model of pixels: score a random forest beside it.
        seed_compat: of one of patches: add the ranking figures as the seed's code computed them.
        device: where it runs.
        progress: called with (patches done, patches in all).

    Raises:
        DatasetError: the split has no patch, or no reference map where the task needs one, or the
            store's classes are not the model's.
    """
    running: dict[str, Any] = {"indices": indices, "device": device, "progress": progress}
    if model.net.task == "pixel":
        pixels = evaluate_pixels(model, store, split, baseline=baseline, **running)
        return Evaluated(pixels, partial(write_pixel_report, model, store, pixels, device=device))
    if model.net.task == "fraction":
        found = predict_fractions(model, store, split, **running)
        fractions = evaluate_fractions(found)
        return Evaluated(fractions, partial(write_fraction_report, found, fractions))
    predictions = predict(model, store, split, **running)
    figures = evaluate_predictions(predictions, seed_compat=seed_compat)
    return Evaluated(figures, partial(write_report, predictions, figures), predictions)
