"""Figures of pixels that have one class each, all from a confusion matrix.
The ratios are those of ``metrics``; its rankings by score need every score, too many for pixels.

A confusion matrix is int64 (C, C): pixels of the class of the row in the reference, and of the
column in the map. A class without a pixel in the reference is absent: it has no figures (NaN) and
stays out of the means; pixels that were mapped as it count against the classes they are of.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from geolulc.learning.metrics import hit_ratios, ratio

Confusion = NDArray[np.int64]


def class_figures(confusion: Confusion) -> dict[str, NDArray[np.float64]]:
    """Pixels in reference and map, IoU, F1, precision and recall by class, float64 (C,) each."""
    hits = np.diag(confusion).astype(np.float64)
    support, mapped = (confusion.sum(axis=axis).astype(np.float64) for axis in (1, 0))
    figures = {"iou": ratio(hits, support + mapped - hits), **hit_ratios(hits, support, mapped)}
    del figures["f2"]
    known = {name: np.where(support > 0, values, math.nan) for name, values in figures.items()}
    return {"support": support, "mapped": mapped, **known}


def overall_figures(confusion: Confusion) -> dict[str, float]:
    """mIoU, macro F1 (means over the classes of the reference) and agreement; NaN without a pixel.

    ``agreement`` is the share of pixels with the same class in map and reference.
    """
    total = int(confusion.sum())
    if not total:
        return dict.fromkeys(("miou", "f1_macro", "agreement"), math.nan)
    by_class = class_figures(confusion)
    return {
        "miou": float(np.nanmean(by_class["iou"])),
        "f1_macro": float(np.nanmean(by_class["f1"])),
        "agreement": float(np.diag(confusion).sum() / total),
    }
