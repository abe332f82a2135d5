"""The eight flips and quarter turns of a square."""

from __future__ import annotations

import torch
from torch import Tensor


def turned(x: Tensor, turn: int) -> Tensor:
    """``x`` (…, rows, columns) after ``turn`` 0..7; 0 leaves it."""
    turned = torch.rot90(x, turn % 4, (-2, -1))
    return torch.flip(turned, (-1,)) if turn >= 4 else turned


def turned_back(x: Tensor, turn: int) -> Tensor:
    """Undoes ``turned``."""
    flipped = torch.flip(x, (-1,)) if turn >= 4 else x
    return torch.rot90(flipped, -(turn % 4), (-2, -1))
