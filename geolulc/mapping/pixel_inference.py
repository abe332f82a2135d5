"""Probabilities of the pixels of windows cut from strips."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from geolulc.bands import RESOLUTIONS
from geolulc.errors import ParameterError
from geolulc.grid import TileGrid
from geolulc.mapping.inference import Ensemble, NetworkStrip, turned
from geolulc.mapping.pixel_windows import WindowGrid
from geolulc.nets import Model
from geolulc.pixel_map import FULL

#: ``M_MMAP_THRESHOLD`` of glibc's malloc.h.
_M_MMAP_THRESHOLD: Final = -3
#: Steps of a probability while windows add up: whole numbers, so that their order does not show.
#: Four windows meet at most, each rounded to half a step.
ONE: Final = 260 * FULL


class PixelEnsemble(Ensemble):
    """Pixel models of the same classes, ready to run; their probabilities are averaged."""

    def __init__(
        self,
        models: Sequence[Model],
        device: torch.device,
        *,
        test_time_augmentation: bool = False,
    ) -> None:
        for model in models:
            if model.net.task != "pixel":
                raise ParameterError(
                    f"model {model.name}",
                    found="a model of patches beside models of pixels",
                    expected="models of one kind",
                    remedy="Average pixel models, or patch models.",
                )
        _give_back_large_blocks()
        super().__init__(models, device, test_time_augmentation=test_time_augmentation)

    def windows(self, tile: TileGrid) -> WindowGrid:
        """Windows that suit every model."""
        multiple = math.lcm(*(m.net.pixel_multiple for m in self._models))
        return WindowGrid.of_network(tile, multiple, max(m.net.margin for m in self._models))

    @torch.inference_mode()
    def weighted(
        self, strips: Sequence[NetworkStrip], grid: WindowGrid, row: int, columns: Sequence[int]
    ) -> list[NDArray[np.uint16]]:
        """Probabilities of some windows of a row, times their weights, in steps of ``ONE``.

        Args:
            strips: of ``prepare``: the tile's rows of the windows, over its whole width.
            grid: where windows are.
            row, columns: of the windows.

        Returns:
            For each window uint16 (classes, rows, columns) of the pixels in its ``support``:
            ``ONE`` is a probability of 1 with a weight of 1.
        """
        tile = grid.tile
        down = grid.weights(row, tile.height) * (ONE / (len(self._nets) * len(self._turns)))
        parts = [
            (
                (..., grid.inside(row, tile.height), grid.inside(column, tile.width)),
                torch.from_numpy(np.outer(down, grid.weights(column, tile.width))),
            )
            for column in columns
        ]
        totals: list[Tensor] = []
        for net, model, order, strip in zip(
            self._nets, self._models, self._orders, strips, strict=True
        ):
            groups = [
                torch.stack([_cut(x, grid, row, column, r) for column in columns])
                for x, r in zip(strip, RESOLUTIONS, strict=True)
            ]
            classify = partial(net.classify, border=grid.border)
            for turn in self._turns:
                logits = self._classify(classify, [turned(x, turn) for x in groups])
                logits = turned_back(logits, turn)
                # class by class in memory, which softmax and all that follows go through faster
                found = [
                    model.probabilities(window[None][inside].contiguous())[0]
                    for window, (inside, _) in zip(logits, parts, strict=True)
                ]
                if order != list(range(len(order))):
                    found = [x[order] for x in found]
                totals = (
                    [a.add_(b) for a, b in zip(totals, found, strict=True)] if totals else found
                )
        # rounded where it is, before it is moved
        return [
            total.mul_(weights.to(total)).add_(0.5).cpu().numpy().astype(np.uint16)
            for total, (_, weights) in zip(totals, parts, strict=True)
        ]


def _give_back_large_blocks() -> None:
    """Have the C library return blocks of 8 MiB and more to the system as soon as they are free.

    By itself it keeps those of up to 32 MiB in heaps of each thread, which windows and strips of
    many sizes scatter. glibc only; see mallopt(3).
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 8 * 2**20)


def _cut(x: Tensor, grid: WindowGrid, row: int, column: int, resolution: int) -> Tensor:
    """A window of a strip; what is not on the tile is the mean, as where there is no data."""
    part = x[:, :, grid.window(row, column, resolution)[1]]
    beyond = grid.beyond(row, column, resolution)
    return functional.pad(part, beyond) if any(beyond) else part


def turned_back(x: Tensor, turn: int) -> Tensor:
    """Undoes ``turned``."""
    flipped = torch.flip(x, (-1,)) if turn >= 4 else x
    return torch.rot90(flipped, -(turn % 4), (-2, -1))
