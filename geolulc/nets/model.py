"""A trained network with what its probabilities need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from geolulc.datasets.ground import Ground
from geolulc.errors import ParameterError
from geolulc.nets.calibration import Calibration
from geolulc.nets.network import LandCoverNet


@dataclass(frozen=True)
class Model:
    """A network with its calibration and provenance, as a checkpoint holds it.

    Attributes:
        net: the network, in evaluation mode when it was loaded.
        thresholds: a class is present where its probability reaches this; one a class, 0..1;
            without meaning for pixels, which have the most probable class. Of fractions it is the
            fraction from which on the class is taken to be there.
        calibration: of the logits, before they become probabilities.
        provenance: how it came about (JSON-able): data, options, scores, licence.
        name: a short name for people.
        ground: that it was trained on, as far as it is known.
        sha256: of the checkpoint file it was loaded from; "" before it was saved.
    """

    net: LandCoverNet
    thresholds: tuple[float, ...] = ()
    calibration: Calibration = field(default_factory=Calibration)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    name: str = "model"
    sha256: str = ""
    ground: Ground = field(default_factory=Ground)

    def __post_init__(self) -> None:
        count = len(self.net.classes)
        if not self.thresholds:
            object.__setattr__(self, "thresholds", (0.5,) * count)
        if len(self.thresholds) != count or not all(0 <= t <= 1 for t in self.thresholds):
            raise ParameterError(
                f"thresholds of {self.name}",
                found=f"{len(self.thresholds)} values {self.thresholds}",
                expected=f"{count} values in 0..1, one a class",
                remedy="Give one threshold for each class, in the order of the classes.",
            )
        self.calibration.require(self.name, count)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Calibrated probabilities, or fractions of cover, float32, of logits.

        Patches, (…, classes): the sigmoid of calibrated logits, as classes do not exclude one
        another; for the task "fraction" their softmax. Pixels, (N, classes, rows, columns): their
        softmax over the classes.
        """
        if self.net.task == "patch":
            return torch.sigmoid(self.calibration.logits(logits.float()))
        axis = 1 if self.net.task == "pixel" else -1
        return torch.softmax(self.calibration.logits(logits.float(), axis=axis), dim=axis)
