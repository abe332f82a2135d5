"""Figures of pixels that have one class each, all from a confusion matrix.

A confusion matrix is int64 (C, C): pixels of the class of the row in the reference, and of the
column in the map. A class without a pixel in the reference is absent: it has no figures (NaN) and
stays out of the means; pixels that were mapped as it count against the classes they are of.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Confusion = NDArray[np.int64]


def class_figures(confusion: Confusion) -> dict[str, NDArray[np.float64]]:
    """Pixels in reference and map, IoU, F1, precision and recall by class, float64 (C,) each."""
    hits = np.diag(confusion).astype(np.float64)
    support = confusion.sum(axis=1).astype(np.float64)
    mapped = confusion.sum(axis=0).astype(np.float64)

    def ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
        values = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
        return np.where(support > 0, values, np.nan)

    return {
        "support": support,
        "mapped": mapped,
        "iou": ratio(hits, support + mapped - hits),
        "f1": ratio(2 * hits, support + mapped),
        "precision": ratio(hits, mapped),
        "recall": ratio(hits, support),
    }


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
