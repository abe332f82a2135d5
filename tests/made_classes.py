"""Patches whose classes are each defined in one resolution only: a broken fusion cannot learn."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from geolulc.bands import GROUPS

#: Class → the resolution, in metres, that alone tells it.
DEFINED_IN = {
    "Urban fabric": 10,  # texture: a checkerboard of 10 m pixels, the mean unchanged
    "Coniferous forest": 20,  # red edge: B05 down and B07 up, their sum unchanged
    "Inland waters": 60,  # water vapour: B09 against B01, their sum unchanged
}


class Patches(NamedTuple):
    """Raw groups as in a batch, and float32 targets (N, 3) in the order of ``DEFINED_IN``."""

    b10: Tensor
    b20: Tensor
    b60: Tensor
    targets: Tensor


def make_class_patches(count: int, seed: int) -> Patches:
    """``count`` patches with each class in about half of them, in a square somewhere."""
    generator = torch.Generator().manual_seed(seed)
    # a common brightness field in all bands, so that no band is quiet
    field = torch.rand(count, 1, 20, 20, generator=generator) * 1500 + 1000
    bands = {
        r: functional.interpolate(field, (1200 // r, 1200 // r), mode="bilinear").repeat(
            1, len(names), 1, 1
        )
        for r, names in GROUPS.items()
    }
    for image in bands.values():
        image += torch.randn(image.shape, generator=generator) * 100
    targets = (torch.rand(count, 3, generator=generator) < 0.5).float()
    square = torch.zeros(count, 1, 20, 20)
    corners = torch.randint(0, 11, (count, 2), generator=generator)
    for i, (row, column) in enumerate(corners.tolist()):
        square[i, :, row : row + 10, column : column + 10] = 1

    rows, columns = torch.arange(120)[:, None], torch.arange(120)[None, :]
    checkerboard = ((rows + columns) % 2) * 2 - 1
    present = targets.view(count, 3, 1, 1)
    square10 = functional.interpolate(square, (120, 120))
    bands[10] += (square10 * present[:, :1] * checkerboard) * 200
    square20 = functional.interpolate(square, (60, 60))
    red_edge = (square20 * present[:, 1:2])[:, 0] * 300
    bands[20][:, GROUPS[20].index("B05")] -= red_edge
    bands[20][:, GROUPS[20].index("B07")] += red_edge
    vapour = (square * present[:, 2:])[:, 0] * 300
    bands[60][:, GROUPS[60].index("B09")] -= vapour
    bands[60][:, GROUPS[60].index("B01")] += vapour
    raw = {r: image.clamp(1, 10_000).to(torch.int32).to(torch.uint16) for r, image in bands.items()}
    return Patches(raw[10], raw[20], raw[60], targets)
