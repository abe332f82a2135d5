"""How often classes are there, and what follows for logits where it differs."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

# a class never seen in one region shifts by no more than e⁴ ≈ 55 to one
_LARGEST_SHIFT: Final = 4.0


def frequencies_of(
    labels: NDArray[np.generic], weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Frequencies of classes (C,) in ``labels`` (n, C), whose rows count as ``weights`` (n,).

    Half a patch with and half a patch without each class are added: never 0 or 1 (Jeffreys).
    """
    own = np.ones(len(labels)) if weights is None else weights
    return np.asarray((own @ labels.astype(np.float64) + 0.5) / (own.sum() + 1.0))


def prior_shift(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shift of logits that fits them to other class frequencies: (…, C).

    For each class ``logit(π_target) - logit(π_source)``: the posterior of a binary classifier
    under another prior (Saerens et al. 2002, eq. 2.4; logit adjustment, Menon et al. 2021), right
    where patches of a class look alike in both regions.

    Args:
        source: frequencies that the logits stand for, (C,).
        target: frequencies of the target, (…, C).
    """
    shift = logit(target) - logit(source)
    return np.asarray(np.clip(shift, -_LARGEST_SHIFT, _LARGEST_SHIFT))
