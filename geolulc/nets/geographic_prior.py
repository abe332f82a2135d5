"""Geographic prior: how often each class is there differs from place to place, and shifts logits.

A model of a few patches knows how often each class was in *these*. Labels without pixels tell how
often it is elsewhere. Where patches of a class look alike in both places, the logit of its
probability differs by the difference of the log-odds of its frequencies (``prior_shift``). Priors
by place: Mac Aodha et al. 2019, "Presence-only geographical priors for fine-grained image
classification".
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from geolulc.domain import great_circle
from geolulc.nets.class_frequencies import prior_shift

#: Kilometres in which the weight of labels falls to 1/e. A choice, made on held-out train tiles.
REACH: Final = 40.0
#: Patches of the frequencies that the logits stand for, which are added to those that are near:
#: where there are no others, nothing is shifted. A choice.
_ADDED: Final = 20.0
_LEAST: Final = 1e-6
#: Places times cells that are compared at once: 32 MB an array.
_PAIRS: Final = 1 << 22


class GeographicPrior(nn.Module):
    """Frequencies of classes in cells of labelled patches. Nothing here is learned by steps.

    Attributes:
        places: float32 (cells, 2), longitude and latitude of their patches' mean, in degrees.
        patches: float32 (cells,), their numbers.
        frequencies: float32 (cells, C), share of them that has each class.
        base: float32 (C,), the frequencies that logits stand for without a shift.
    """

    places: Tensor
    patches: Tensor
    frequencies: Tensor
    base: Tensor

    def __init__(self, count: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("places", torch.zeros(count, 2))
        self.register_buffer("patches", torch.zeros(count))
        self.register_buffer("frequencies", torch.zeros(count, num_classes))
        self.register_buffer("base", torch.full((num_classes,), 0.5))

    @classmethod
    def of(
        cls,
        places: NDArray[np.float64],
        patches: NDArray[np.float64],
        frequencies: NDArray[np.float64],
        base: NDArray[np.float64],
    ) -> GeographicPrior:
        """The prior of cells: see the attributes."""
        prior = cls(*frequencies.shape)
        parts = {"places": places, "patches": patches, "frequencies": frequencies, "base": base}
        for name, values in parts.items():
            getattr(prior, name).copy_(torch.from_numpy(values))
        return prior

    def at(self, longitude: ArrayLike, latitude: ArrayLike) -> NDArray[np.float64]:
        """Shifts of the logits (…, C) at places in degrees, (…); 0 where a place is not known.

        A patch d km away weighs exp(-(d / ``REACH``)²).
        """
        places, patches, frequencies, base = (
            tensor.detach().cpu().numpy().astype(np.float64)
            for tensor in (self.places, self.patches, self.frequencies, self.base)
        )
        base = base.clip(_LEAST, 1 - _LEAST)
        patches, frequencies = patches.clip(0), frequencies.clip(0, 1)
        x, y = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (longitude, latitude)))
        near = np.empty((x.size, len(base)))
        step = max(_PAIRS // max(len(places), 1), 1)
        for start in range(0, x.size, step):
            part = slice(start, start + step)
            east, north = x.ravel()[part, None], y.ravel()[part, None]
            with np.errstate(invalid="ignore"):
                distance = great_circle(east, north, places[:, 0], places[:, 1])
            weights = np.nan_to_num(np.exp(-((distance / REACH) ** 2)) * patches)
            total = weights.sum(axis=1, keepdims=True) + _ADDED
            near[part] = (weights @ frequencies + _ADDED * base) / total
        return prior_shift(base, near.clip(_LEAST, 1 - _LEAST)).reshape(*x.shape, -1)
