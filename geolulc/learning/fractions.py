"""Fractions of cover: how much of a patch each class of its reference map covers."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor

from geolulc.learning import metrics
from geolulc.learning.intervals import ClusterSums

#: Values of a reference map: positions of classes, and 255 where there is none.
_VALUES: Final = 256


def covers_of(truth: Tensor, classes: int) -> Tensor:
    """The share of each class in all pixels of a patch, float32 (N, C).

    They add up to the labelled share of the patch: pixels without a class are in none.

    Args:
        truth: uint8 (N, rows, columns), positions of classes; 255 where there is none.
        classes: their number.
    """
    pixels = truth.flatten(1).long()
    counts = torch.zeros(len(pixels), _VALUES, device=truth.device)
    counts.scatter_add_(1, pixels, torch.ones_like(pixels, dtype=counts.dtype))
    return counts[:, :classes] / max(pixels.shape[1], 1)


def fraction_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of the fractions with the reference map, summed over its share, (N,).

    It is lowest where the fractions are the expected shares, so that their sums over many patches
    are sums of areas; 0 for a patch without a labelled pixel.

    Args:
        logits: (N, C).
        truth: as for ``covers_of``.
    """
    covers = covers_of(truth, logits.shape[1])
    return -(covers * torch.log_softmax(logits.float(), dim=1)).sum(dim=1)


def cover_losses(covers: NDArray[np.floating], logits: NDArray[np.floating]) -> float:
    """The mean of ``fraction_loss`` over labelled ground; NaN without any."""
    ground = float(covers.sum())
    losses = covers * log_softmax(logits.astype(np.float64), axis=1)
    return float(-losses.sum() / ground) if ground else math.nan


class FractionFigures(ClusterSums):
    """Figures of fractions against covers, of patches or of resampled clusters of them.

    All are means over labelled ground. A class's own are named (name, class), with its position.

    Args:
        covers: (n, C), of the reference, as ``covers_of`` has them.
        fractions: (n, C), they add up to 1.
        clusters: (n,), the name of each patch's cluster.
    """

    def __init__(
        self,
        covers: NDArray[np.floating],
        fractions: NDArray[np.floating],
        clusters: NDArray[np.str_],
    ) -> None:
        labelled = covers.sum(axis=1, keepdims=True)
        said = fractions * labelled
        largest = np.zeros_like(said)
        largest[np.arange(len(said)), fractions.argmax(axis=1)] = 1
        self._classes = covers.shape[1]
        parts = {
            "ground": labelled,
            "overlap": np.minimum(said, covers).sum(axis=1, keepdims=True),
            "cover": covers,
            "mapped": said,
            "largest": largest * labelled,
            "apart": np.abs(said - covers),
        }
        super().__init__(clusters, parts)

    def __call__(self, weights: NDArray[np.float64]) -> dict[str, float]:
        """The figures where each cluster counts ``weights`` times, (K,)."""
        sums = self.sums(weights)
        ground = float(sums["ground"][0])
        means = {k: v / ground if ground else np.full_like(v, np.nan) for k, v in sums.items()}
        bias = means["mapped"] - means["cover"]
        present = sums["cover"] > 0
        return {
            "overlap": float(means["overlap"][0]),
            "mae": metrics.macro(np.where(present, means["apart"], np.nan)),
            "area_error": float(np.abs(bias).sum() / 2),
            "area_error_largest": float(np.abs(means["largest"] - means["cover"]).sum() / 2),
            **_by_class("cover", means["cover"]),
            **_by_class("mapped", means["mapped"]),
            **_by_class("largest", means["largest"]),
            **_by_class("bias", bias),
            **_by_class("mae", means["apart"]),
        }

    @property
    def whole(self) -> dict[str, float]:
        """The figures of all patches."""
        return self(np.ones(self.clusters))

    def of_class(self, name: str, figures: dict[str, float]) -> NDArray[np.float64]:
        """The values of a class figure among ``figures``, float64 (C,)."""
        return np.array([figures[_key(name, c)] for c in range(self._classes)])


def _by_class(name: str, values: NDArray[np.float64]) -> dict[str, float]:
    return {_key(name, c): float(value) for c, value in enumerate(values)}


def _key(name: str, position: int) -> str:
    return f"{name} {position}"
