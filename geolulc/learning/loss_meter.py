"""The losses of an epoch; training stops when one of them is not finite."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolulc.errors import TrainingError
from geolulc.learning.patches import SplitPatches
from geolulc.learning.processes import Processes

# On a GPU reading a loss waits for the device: look at this many at once.
_BUNCH: Final = 20


@dataclass(kw_only=True)
class LossMeter:
    """Sums the losses of steps.

    Attributes:
        patches: the patches that are learned from, to name those of a bad loss.
        processes: the processes that share each step.
        total: sum of the losses looked at.
        steps: their number.
    """

    patches: SplitPatches
    processes: Processes
    total: float
    steps: int
    _waiting: list[tuple[Tensor, NDArray[np.int64]]] = field(default_factory=list, init=False)

    def add(self, loss: Tensor, places: NDArray[np.int64]) -> None:
        """Keep the loss (scalar) of a step over the patches at ``places``, of this process."""
        self._waiting.append((loss, places))

    @property
    def due(self) -> bool:
        """Whether the waiting losses should be looked at now."""
        loss = self._waiting[-1][0]
        return loss.device.type == "cpu" or len(self._waiting) >= _BUNCH

    @property
    def mean(self) -> float:
        """Mean loss of the steps looked at."""
        return self.total / max(self.steps, 1)

    def look(self) -> None:
        """Add the waiting losses; ``TrainingError`` names the patches whose loss is not finite.

        All processes call this at the same steps.
        """
        own = torch.stack([loss for loss, _ in self._waiting])
        values = self.processes.sum(own.clone()).cpu().tolist()
        for number, value in enumerate(values):
            if not math.isfinite(value):
                mine = not math.isfinite(float(own[number]))
                self._stop(value, self._waiting[number][1] if mine else None)
        self.total += sum(values)
        self.steps += len(values)
        self._waiting.clear()

    def _stop(self, value: float, places: NDArray[np.int64] | None) -> None:
        keys = "of another process"
        if places is not None:
            keys = ", ".join(self.patches.key(int(p)) for p in places)
        raise TrainingError(
            f"step {self.steps + 1} of the epoch",
            found=f"a loss of {value} for the patches {keys}",
            expected="a finite number",
            remedy="Lower learning_rate, set clip_norm, or look at these patches.",
        )
