"""Remedies for negative transfer: they act on classes and their frequencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from geolulc.errors import ParameterError
from geolulc.learning.calibration import choose_thresholds
from geolulc.learning.task import head_layer
from geolulc.nets import Model
from geolulc.transfer.settings import REMEDIES, refuse_prior

#: A class in at least this share of the patches is never repeated (Gupta et al. 2019 take 1e-3
#: for 1,203 classes; the classes of BigEarthNet are in 0.2 % to 45 % of its patches).
REPEAT_BELOW: Final = 0.1
#: A patch is repeated at most so often.
MOST_REPEATS: Final = 4


@dataclass(frozen=True)
class Remedy:
    """Remedies that are used together.

    Attributes:
        mask: classes that the target does not have stay out of the loss, and are absent.
        prior: logits are shifted to the class frequencies of the target.
        balanced: patches of rare classes are seen more often.
    """

    mask: bool = False
    prior: bool = False
    balanced: bool = False

    @classmethod
    def parse(cls, text: str) -> Remedy:
        """The remedies named in ``text``: "none", "mask", "prior", "balanced", joined by "+"."""
        parts = set() if text == "none" else set(text.split("+"))
        if unknown := parts - set(REMEDIES):
            raise ParameterError(
                f"remedy {text!r}",
                found=f"no remedy {sorted(unknown)[0]!r}",
                expected=f"none, or of {', '.join(REMEDIES)} one or several joined by +",
                remedy="Use these.",
            )
        return cls(**dict.fromkeys(parts, True))

    def __str__(self) -> str:
        return "+".join(name for name in REMEDIES if getattr(self, name)) or "none"


def repeat_rare(
    positions: NDArray[np.int64], targets: NDArray[np.float32], seed: int
) -> NDArray[np.int64]:
    """``positions`` with patches of rare classes repeated.

    Repeat-factor sampling (Gupta et al. 2019, LVIS, section 4.2): a class of frequency f asks for
    √(t / f) repeats, a patch takes the most that one of its classes asks for; fractions are
    settled by a draw.

    Args:
        positions: (n,) in the store.
        targets: (n, classes) of them.
        seed: of the draw.
    """
    frequencies = targets.mean(axis=0)
    asked = np.sqrt(REPEAT_BELOW / np.maximum(frequencies, 1 / max(len(targets), 1)))
    asked = np.clip(asked, 1, MOST_REPEATS)
    factors = np.where(targets > 0, asked, 1.0).max(axis=1, initial=1.0)
    whole = np.floor(factors)
    drawn = np.random.default_rng([seed, 0xBA1]).random(len(factors)) < factors - whole
    return np.repeat(positions, whole.astype(np.int64) + drawn)


def expected_thresholds(logits: NDArray[np.floating], model: Model) -> tuple[float, ...]:
    """Thresholds that maximise the F1 that calibrated probabilities themselves expect; no labels.

    Under other class frequencies the F1 that can be reached is another one, and with it the best
    threshold, half of it (Lipton et al. 2014, "Optimal thresholding of classifiers to maximize F1
    measure", theorem 1): those of the source are right for the source.

    Args:
        logits: (n, C) of ``model``, of patches of the target.
        model: corrected to the target's priors.
    """
    p = expit(model.calibration.logits(logits.astype(np.float64)))
    return choose_thresholds(p, p)


@torch.no_grad()
def correct_prior(model: Model, shift: NDArray[np.float64]) -> Model:
    """``model`` with ``shift`` (C,) added to its calibrated logits; changed in place.

    The shift goes into the bias of the last layer: the result is a model like any other.
    ``ParameterError`` where label correlation stands behind that layer.
    """
    net = model.net
    if net.label_correlation is not None or net.geographic_prior is not None:
        raise refuse_prior("label correlation or a geographic prior behind the head")
    bias = head_layer(model.net).bias
    calibration = model.calibration
    # what calibration multiplies the logits by
    gain = np.array(calibration.slopes or (1.0,)) / calibration.temperature
    bias.add_(torch.from_numpy(shift / gain).to(bias))
    return model
