"""Class probabilities of cells inside patches, by a patch model's own evidence.

``geolulc.nets.location`` gives the evidence of a patch on the trunk's grid. Here it becomes a
probability for each cell:

1. Read on the cells by straight lines between the trunk's places, and moved by class so that its
   mean over the cells of a patch is the patch's logit.
2. Where a class has no contrast in a patch there is nothing that says where it is: deviations
   from the patch's logit are multiplied by ``s² / (s² + 1)``, s their standard deviation over the
   patch in (calibrated) logits. A contrast of far below one logit leaves the patch's value, one
   of far above is taken as it is; the mean stays.
3. Logits beyond ±8 are bent towards ±14, so that the most probable class is told apart in
   float32.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolulc.mapping.inference import Ensemble, NetworkStrip, Shifts
from geolulc.mapping.located_cells import Line
from geolulc.nets import Model
from geolulc.nets.dilation import dilate
from geolulc.nets.location import evidence, evidence_grid, read_line, require_location

_LOG: Final = logging.getLogger(__name__)
#: Standard deviation over a patch, in logits, at which half of a deviation is believed. A choice.
_CONTRAST: Final = 1.0
#: Logits up to here stay; beyond, they approach the second number.
_LINEAR, _LARGEST = 8.0, 14.0


class LocatedEnsemble(Ensemble):
    """Patch models whose answers are placed on cells of ``resolution`` metres."""

    def __init__(self, models: Sequence[Model], device: torch.device, resolution: int) -> None:
        for model in models:
            require_location(model.net, model.name)
        super().__init__(models, device)
        self._finer = [self._refine(net, resolution) for net in self._nets]
        self._grids = [evidence_grid(finer or net) for net, finer in self._pairs()]

    @torch.inference_mode()
    def located(
        self,
        strips: Sequence[NetworkStrip],
        lefts: Sequence[int],
        row: Line,
        columns: Sequence[Line],
        shifts: Shifts | None = None,
    ) -> list[NDArray[np.float32]]:
        """Probabilities (classes, cells, cells), float32, of the cells of some patches of a row.

        Args:
            strips: of ``prepare``.
            lefts: where patches start, metres from the strips' left.
            row: the cells along the patches' left side.
            columns: for each patch, those along its upper side.
            shifts: (patches, classes) each, by ``shifts``.
        """
        totals: list[Tensor] = []
        for (net, finer), model, order, strip, (places, spacing), shift in zip(
            self._pairs(), self._models, self._orders, strips, self._grids, self._of(shifts),
            strict=True,
        ):  # fmt: skip
            patches = self._patches(model, strip, lefts)
            told = self._finite(partial(evidence, finer or net, *patches))
            everywhere = shift if shifts is None else shift[:, :, None, None]
            found = model.calibration.logits(told + everywhere, axis=1)[:, order]
            if finer is None:
                logits = found.mean(dim=(2, 3))
            else:
                answer = self._finite(partial(net.classify, *patches))
                logits = model.calibration.logits(answer + shift)[:, order]
            down = _reading(row, places, spacing, found)
            for number, (patch, column) in enumerate(zip(found, columns, strict=True)):
                across = _reading(column, places, spacing, found)
                cells = _placed(down @ patch @ across.T, logits[number])
                if len(totals) == number:
                    totals.append(torch.sigmoid(cells))
                else:
                    totals[number] += torch.sigmoid(cells)
        return [(total / len(self._nets)).cpu().numpy() for total in totals]

    def _pairs(self) -> list[tuple[Any, Any]]:
        return list(zip(self._nets, self._finer, strict=True))

    def _refine(self, net: Any, resolution: int) -> Any:
        """A copy with a finer grid; None where the trunk's own is fine enough, or all there is."""
        spacing = evidence_grid(net)[1]
        if spacing <= resolution:
            return None
        kept = {id(value): value for value in (net.bands, net.normalisation)}
        finer = copy.deepcopy(net, kept)
        if dilate(finer, resolution):
            return finer
        _LOG.warning(
            "%s says where on a grid of %.0f m: cells of %d m are read between its places; "
            "--stride 600 gives it more of them",
            net.config.backbone,
            spacing,
            resolution,
        )
        return None


def _reading(line: Line, places: Tensor, spacing: float, like: Tensor) -> Tensor:
    """Weights (cells, places) by which a line of cells reads the evidence at ``places``."""
    at = torch.from_numpy(line.places).to(places)
    return read_line(at, places, spacing).mean(dim=1).to(like)


def _placed(cells: Tensor, logits: Tensor) -> Tensor:
    """Logits of cells (classes, rows, columns) whose mean is ``logits`` (classes,)."""
    apart = cells - cells.mean(dim=(1, 2), keepdim=True)
    variance = apart.square().mean(dim=(1, 2), keepdim=True)
    placed = logits[:, None, None] + apart * (variance / (variance + _CONTRAST**2))
    size = placed.abs()
    room = _LARGEST - _LINEAR
    bent = _LINEAR + room * torch.tanh((size - _LINEAR).clamp(min=0) / room)
    return torch.where(size > _LINEAR, placed.sign() * bent, placed)
