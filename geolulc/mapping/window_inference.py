"""Probabilities of the pixels of windows cut from strips."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolulc.grid import TileGrid
from geolulc.mapping.inference import Ensemble
from geolulc.mapping.windows import WindowGrid
from geolulc.maps.encoding import FULL
from geolulc.nets import Model
from geolulc.nets.turns import turned, turned_back
from geolulc.products import Scene
from geolulc.products.atmosphere import Air, Atmosphere, atmosphere_over

_LOG: Final = logging.getLogger(__name__)
#: Steps of a probability while windows add up: whole numbers, so that their order does not show.
#: Four windows meet at most, each rounded to half a step.
ONE: Final = 260 * FULL
#: Rows of a window whose probabilities are computed at once on a CPU: half a MB of 19 classes.
_ROWS: Final = 12


class WindowEnsemble(Ensemble):
    """Pixel models of the same classes, ready to run; their probabilities are averaged."""

    def windows(self, tile: TileGrid) -> WindowGrid:
        """Windows that suit every model."""
        multiple = math.lcm(*(m.net.pixel_multiple for m in self._models))
        margin = max(m.net.margin for m in self._models)
        return WindowGrid.of_network(tile, multiple, margin, self.sensor.resolutions[0])

    def atmosphere_over(self, scene: Scene) -> Atmosphere | None:
        """The air between a Level-2A scene and models of Level-1C; None where none is needed."""
        net = self._models[0].net
        if net.level == scene.level:
            return None
        atmosphere = atmosphere_over(scene, net.band_names)
        if atmosphere is not None:
            _LOG.warning(
                "%s was trained on Level-1C: the top of the atmosphere is computed from Level-2A "
                "(%s)",
                self.origin["name"],
                atmosphere.words,
            )
        return atmosphere

    @torch.inference_mode()
    def weighted(
        self,
        dn: Sequence[Mapping[int, NDArray[np.uint16]]],
        offsets: Sequence[Sequence[Tensor]],
        grid: WindowGrid,
        row: int,
        columns: Sequence[int],
        air: Mapping[str, Air] | None = None,
    ) -> list[NDArray[np.uint16]]:
        """Probabilities of some windows of a row, times their weights, in steps of ``ONE``.

        Args:
            dn: of each window, what ``cut`` gives.
            offsets: what ``offsets`` gives.
            grid: where windows are.
            row, columns: of the windows.
            air: of the bands, of what ``atmosphere_over`` gives.

        Returns:
            For each window uint16 (classes, rows, columns) of the pixels in its ``support``:
            ``ONE`` is a probability of 1 with a weight of 1. 0 in all classes where a logit is
            NaN.
        """
        passes = len(self._nets) * len(self._turns)
        classes = len(self.classes)
        sums = [_Sum(grid, row, column, classes, passes, self.device) for column in columns]
        windows = [self.prepare(window, offsets) for window in dn]
        for net, model, order, seen in zip(
            self._nets, self._models, self._orders, zip(*windows, strict=True), strict=True
        ):
            groups = [torch.stack(x) for x in zip(*seen, strict=True)]
            if air is not None:
                groups = [*model.net.with_reflectance(groups, lambda b, x: air[b].seen(x))]
            classify = partial(net.classify, border=grid.border)
            for turn in self._turns:
                logits = self._classify(classify, [turned(x, turn) for x in groups])
                for window, total in zip(turned_back(logits, turn), sums, strict=True):
                    total.add(model, window, order, overflows=self.overflows)
        return [total.steps for total in sums]


class _Sum:
    """What several networks, or turns, say of a window, times its weights.

    Some rows at a time: all that happens to their values happens in the processor's cache.

    Attributes:
        steps: when all have been added: what ``WindowEnsemble.weighted`` gives.
    """

    def __init__(
        self,
        grid: WindowGrid,
        row: int,
        column: int,
        classes: int,
        passes: int,
        device: torch.device,
    ) -> None:
        tile = grid.tile
        self._inside = grid.inside(row, tile.height), grid.inside(column, tile.width)
        down, across = grid.weights(row, tile.height), grid.weights(column, tile.width)
        self._weights = torch.from_numpy(np.outer(down * (ONE / passes), across)).to(device)
        shape = (classes, *self._weights.shape)
        self.steps = np.empty(shape, np.uint16)
        self._total = torch.zeros(shape, device=device) if passes > 1 else None
        self._missing = passes

    def add(self, model: Model, logits: Tensor, order: list[int], *, overflows: bool) -> None:
        """Add the classes of a window without its border (classes, rows, columns), in ``order``.

        ``overflows``: some logits may be NaN.
        """
        self._missing -= 1
        logits = logits[(..., *self._inside)]
        rows = len(self._weights)
        count = _ROWS if logits.device.type == "cpu" else rows
        for start in range(0, rows, count):
            at = slice(start, start + count)
            # class by class in memory, which softmax and all that follows go through faster
            found = model.probabilities(logits[None, :, at].contiguous())[0]
            if order != list(range(len(order))):
                found = found[order]
            if self._total is not None:
                found = self._total[:, at].add_(found)
            if not self._missing:
                if overflows:
                    found = found.nan_to_num(0.0)
                self.steps[:, at] = found.mul_(self._weights[at]).add_(0.5).cpu().numpy()


def cut(
    dn: Mapping[int, NDArray[np.uint16]], grid: WindowGrid, row: int, column: int
) -> dict[int, NDArray[np.uint16]]:
    """A window of a strip, in memory of its own; what is not on the tile has no data.

    Args:
        dn: resolution → uint16 (bands, rows, columns): the tile's rows of the window, over its
            whole width.
        grid: where windows are.
        row, column: of the window.
    """
    found = {}
    for resolution, bands in dn.items():
        part = bands[:, :, grid.window(row, column, resolution)[1]]
        left, right, above, below = grid.beyond(row, column, resolution)
        beyond = ((0, 0), (above, below), (left, right))
        found[resolution] = np.pad(part, beyond)
    return found
