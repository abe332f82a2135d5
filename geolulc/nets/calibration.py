"""From logits to calibrated logits: one temperature, and a straight line for each class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from geolulc.errors import ParameterError

Logits = TypeVar("Logits", Tensor, NDArray[np.floating])


@dataclass(frozen=True)
class Calibration:
    """``slope · logit / temperature + shift`` by class; the default leaves logits as they are.

    Of classes that do not exclude each other this is logistic calibration (Platt 1999), of others
    vector scaling (Guo et al. 2017, section 4.2). A temperature alone cannot undo a loss that
    makes positives, or some classes, count for more: that adds to the logits.

    Attributes:
        temperature: divides all logits; above 0.
        slopes: above 0, one a class; () for 1.
        shifts: one a class; () for 0.
    """

    temperature: float = 1.0
    slopes: tuple[float, ...] = ()
    shifts: tuple[float, ...] = ()

    def require(self, subject: str, classes: int) -> None:
        """Raise ``ParameterError`` unless this is a calibration of so many ``classes``."""
        sizes = {len(self.slopes), len(self.shifts)}
        positive = (self.temperature, *self.slopes)
        if (
            not sizes <= {0, classes}
            or not all(v > 0 for v in positive)
            or not all(map(math.isfinite, (*positive, *self.shifts)))
        ):
            raise ParameterError(
                f"calibration of {subject}",
                found=self,
                expected=f"finite values, {classes} or none by class, "
                "temperature and slopes above 0",
                remedy="The default leaves the logits as they are.",
            )

    def logits(self, logits: Logits, axis: int = -1) -> Logits:
        """Calibrated logits, of the same shape and type; ``axis`` is that of the classes."""
        found: Any = logits / self.temperature
        shape = [-1 if i == axis % logits.ndim else 1 for i in range(logits.ndim)]
        if self.slopes:
            found = found * _like(found, self.slopes).reshape(shape)
        if self.shifts:
            found = found + _like(found, self.shifts).reshape(shape)
        return found  # type: ignore[no-any-return]


def _like(logits: Any, values: tuple[float, ...]) -> Any:
    if isinstance(logits, Tensor):
        return logits.new_tensor(values)
    return np.array(values, logits.dtype)
