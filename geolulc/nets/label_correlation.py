"""Label correlation: what one class says about another refines the logits.

The seed of this project fed the flattened co-occurrence matrix through a BatchNorm: the same
vector for every patch, hence exactly zero in training. Here the matrix acts on what the network
believes of each patch, as one step of mean-field inference in a pairwise (Ising) model.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geolulc.errors import ParameterError

#: Share of the patches added to each class as if it were independent of the others: what is
#: seen in less than about one patch in a hundred is shrunk towards "says nothing".
_PRIOR_SHARE = 0.01
#: Log-odds ratios are cut to this: e⁴ ≈ 55 to one.
_LARGEST = 4.0
#: How much of the shift is applied. Not learned: a learned gain memorises the training labels
#: through the messages (benchmarks/networks_label_correlation.py).
_GAIN = 0.5


class LabelCorrelation(nn.Module):
    """``z'_j = z_j + gain · Σ_i log_odds[i, j] · (sigmoid(z_i) - prior_i)``.

    ``log_odds[i, j]`` is the change of the log-odds of class j when class i is present, from the
    conditional co-occurrence in the train split (``log_odds_of``). A class believed in as often
    as it occurs says nothing; believed present or absent, it shifts the others. Nothing here is
    learned, and the beliefs pass no gradient: each class is trained on its own evidence, given
    what the others say.
    """

    log_odds: Tensor
    prior: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("log_odds", torch.zeros(num_classes, num_classes))
        self.register_buffer("prior", torch.zeros(num_classes))

    def set_cooccurrence(self, cooccurrence: NDArray[np.float64]) -> None:
        """Take over the shares of patches with two classes each, (C, C): see ``log_odds_of``."""
        self.log_odds.copy_(torch.from_numpy(log_odds_of(cooccurrence)))
        self.prior.copy_(torch.from_numpy(np.diag(cooccurrence).copy()))

    def forward(self, logits: Tensor) -> Tensor:
        """Logits (N, C) → refined logits (N, C)."""
        beliefs = torch.sigmoid(logits.detach()) - self.prior
        return logits + _GAIN * (beliefs @ self.log_odds)


def log_odds_of(cooccurrence: NDArray[np.float64]) -> NDArray[np.float64]:
    """``logit P(j | i) - logit P(j | not i)``, smoothed, 0 on the diagonal: (C, C), i first.

    Args:
        cooccurrence: share of the patches that carry both i and j; diagonal: that carry i.

    Raises:
        ParameterError: it is no such matrix.
    """
    shares = np.asarray(cooccurrence, np.float64)
    single = np.diag(shares) if shares.ndim == 2 else shares
    bound = np.minimum(single[:, None], single[None, :]) + 1e-9 if shares.ndim == 2 else 0
    if (
        shares.ndim != 2
        or shares.shape[0] != shares.shape[1]
        or not np.isfinite(shares).all()
        or not np.allclose(shares, shares.T)
        or (shares < 0).any()
        or (single > 1 + 1e-9).any()
        or (shares > bound).any()
    ):
        raise ParameterError(
            "co-occurrence",
            found=f"an array of shape {shares.shape} that is no matrix of shares",
            expected="(C, C): share of the patches with both classes, symmetric, in 0..1",
            remedy="Compute it as targets.T @ targets / len(targets).",
        )
    with_i = single[:, None]
    present = (shares + _PRIOR_SHARE * single) / (with_i + _PRIOR_SHARE)
    absent = (single - shares + _PRIOR_SHARE * single) / (1 - with_i + _PRIOR_SHARE)
    tiny = 1e-6
    logit = [np.log((p + tiny) / (1 - p + tiny)) for p in (present, absent)]
    ratio: NDArray[np.float64] = np.clip(logit[0] - logit[1], -_LARGEST, _LARGEST)
    np.fill_diagonal(ratio, 0)
    return ratio
