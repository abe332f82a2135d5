"""Label sets: which classes a patch can have together refines the logits.

Labels of a patch are not independent, and of sets that occur at all there are few: 480,000 patches
of BigEarthNet v2 have 4,000 of half a million. Each known set is weighed by its share of those
patches and by what the network says of its classes; a class is there as surely as the sets that
hold it. Exact marginals of a conditional model of whole sets: where pixels are few and official
labels many, most of what is known of classes is known here.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

#: No class is surer than this: one that no set has keeps a finite logit.
_LEAST: Final = 1e-6


class LabelSets(nn.Module):
    """``p(S) ∝ share(S) · exp(Σ_(c in S) z_c)``; the logit of class c is that of its sets' sum.

    Logits of 0 give the classes the shares that they have in the sets. Nothing here is learned.

    Attributes:
        sets: float32 (sets, C), 0 or 1.
        log_shares: float32 (sets,), logarithms of their shares.
    """

    sets: Tensor
    log_shares: Tensor

    def __init__(self, count: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("sets", torch.zeros(count, num_classes))
        self.register_buffer("log_shares", torch.zeros(count))

    @classmethod
    def of(cls, sets: NDArray[np.uint8], shares: NDArray[np.float64]) -> LabelSets:
        """The layer of ``sets`` (n, C), 0 or 1, with their ``shares`` (n,), above 0."""
        layer = cls(*sets.shape)
        layer.sets.copy_(torch.from_numpy(sets))
        layer.log_shares.copy_(torch.from_numpy(np.log(shares)))
        return layer

    def forward(self, logits: Tensor) -> Tensor:
        """Logits (N, C) → refined logits (N, C)."""
        # products that are summed, not a matrix product: that would be of half precision on a GPU
        weights = (logits[:, None] * self.sets).sum(dim=2) + self.log_shares
        together = torch.softmax(weights, dim=1)
        present = (together[:, :, None] * self.sets).sum(dim=1)
        return torch.logit(present.clamp(_LEAST, 1 - _LEAST))
