"""Pixels near the borders of a reference map."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

#: Side of a pixel in metres.
_PIXEL: Final = 10


def near_borders(truth: Tensor, metres: float) -> Tensor:
    """Pixels that have another class no more than ``metres`` away, from centre to centre.

    Pixels without a class count as a class of their own; nothing is known beyond the edge.

    Args:
        truth: whole numbers (N, rows, columns), one a class.
        metres: 10 for pixels that touch a border; 0 for none.

    Returns:
        bool (N, rows, columns).
    """
    near = torch.zeros(truth.shape, dtype=torch.bool, device=truth.device)
    reach = int(metres // _PIXEL)
    limit = (metres / _PIXEL) ** 2
    rows, columns = truth.shape[-2:]
    # half of the disc is enough: if two pixels differ, both are near a border
    for down in range(min(reach, rows - 1) + 1):
        for right in range(-min(reach, columns - 1), min(reach, columns - 1) + 1):
            if not 0 < down**2 + right**2 <= limit or (down == 0 and right < 0):
                continue
            left, shift = max(-right, 0), max(right, 0)
            here = (..., slice(0, rows - down), slice(left, columns - shift))
            there = (..., slice(down, rows), slice(shift, columns - left))
            differs = truth[here] != truth[there]
            near[here] |= differs
            near[there] |= differs
    return near
