"""Figures of a model on a target: over the classes that the target has, and no others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from geolulc.datasets.statistics import without_nan
from geolulc.learning import metrics
from geolulc.learning.intervals import DecisionFigures, Interval, PatchFigures, intervals
from geolulc.nets import Model


def score_target(
    targets: NDArray[np.float32],
    logits: NDArray[np.float32],
    model: Model,
    clusters: NDArray[np.str_],
) -> dict[str, Any]:
    """Figures by name, over all patches of a target's test split.

    A class without a positive there has no average precision: it is in no mean, macro or micro,
    and named in ``without``. Wrong detections of such classes are counted in ``false_alarms``
    (a patch) and lower ``f1_micro_all``, the one figure over all classes.

    Args:
        targets: (n, C), 0 or 1, classes in the order of the model's.
        logits: (n, C).
        clusters: (n,), the tile of each patch.
        model: its calibration and thresholds turn logits to probabilities and decisions.

    Returns:
        ``figures``: ap_macro, ap_micro, f1_macro, f1_micro, log_loss (nats, mean over patches
        and classes), f1_micro_all, false_alarms; ``classes``: name, support, ap, f1 of each class
        that the target has; ``intervals``: figure → (low, high) of 95 %; ``without``: names of
        the others. JSON-able, no NaN.
    """
    z = model.calibration.logits(logits.astype(np.float64))
    probabilities = np.asarray(expit(z))
    decisions = np.asarray(probabilities >= np.asarray(model.thresholds))
    has = targets.any(axis=0)
    truth = targets[:, has]
    by_class = metrics.class_figures(targets, probabilities, decisions)
    ap, f1 = by_class["ap"], by_class["f1"]
    figures = {
        "ap_macro": metrics.macro(ap[has]),
        "ap_micro": metrics.micro_average_precision(truth, probabilities[:, has]),
        "f1_macro": metrics.macro(f1[has]),
        "f1_micro": metrics.micro_f1(truth, decisions[:, has]),
        "log_loss": float(metrics.log_losses(truth, z[:, has]).mean()) if truth.size else math.nan,
        "f1_micro_all": metrics.micro_f1(targets, decisions),
        "false_alarms": float(decisions[:, ~has].sum(axis=1).mean()) if len(targets) else 0.0,
    }
    names = np.array(model.net.classes, dtype=object)
    spread: dict[str, Interval] = {}
    if has.any():
        resampled = PatchFigures(truth, probabilities[:, has], decisions[:, has], clusters)
        spread = intervals(resampled, resampled.clusters)
        of_all = intervals(DecisionFigures(targets, decisions, clusters), resampled.clusters)
        spread |= {f"{name}_all": ends for name, ends in of_all.items()}
    return {
        "patches": len(targets),
        "figures": {k: v if math.isfinite(v) else None for k, v in figures.items()},
        "intervals": {k: without_nan(v) for k, v in spread.items() if k in figures},
        "classes": [
            {
                "name": str(names[c]),
                "support": int(by_class["support"][c]),
                "ap": float(ap[c]),
                "f1": float(f1[c]),
            }
            for c in np.flatnonzero(has).tolist()
        ],
        "without": [str(name) for name in names[~has]],
    }
