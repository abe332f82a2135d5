"""Small networks and raw patches for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import expit
from torch import Tensor

from geolulc.bands import BAND_NAMES, GROUPS
from geolulc.nets import LandCoverNet, NetConfig, Normalisation, build_net
from geolulc.nets.geographic_prior import GeographicPrior
from geolulc.nomenclature import BEN19

#: A different mean and std for each band, so that a swapped band shows.
NORMALISATION = Normalisation(
    mean={name: 500.0 + 100 * i for i, name in enumerate(BAND_NAMES)},
    std={name: 300.0 + 20 * i for i, name in enumerate(BAND_NAMES)},
)


def make_net(**options: Any) -> LandCoverNet:
    """A seeded network of 19 classes; ``options`` of ``NetConfig``, timm's smallest ResNet."""
    seed = options.pop("seed", 0)
    names = "cooccurrence", "label_sets", "geographic_prior", "pretrained"
    parts = {name: options.pop(name, None) for name in names}
    config = NetConfig(**{"backbone": "test_resnet", **options})
    return build_net(
        config,
        classes=BEN19.names,
        nomenclature=BEN19.id,
        normalisation=NORMALISATION,
        **parts,
        seed=seed,
    )


def make_patches(
    count: int = 2, seed: int = 0, bands: Mapping[int, tuple[str, ...]] = GROUPS
) -> tuple[Tensor, ...]:
    """Random raw digital numbers without nodata: uint16 in the groups of ``bands``."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randint(
            1,
            5000,
            (count, len(names), 1200 // resolution, 1200 // resolution),
            generator=generator,
            dtype=torch.int32,
        ).to(torch.uint16)
        for resolution, names in bands.items()
    )


def make_prior(places: ArrayLike, shifts: ArrayLike, patches: float = 1e6) -> GeographicPrior:
    """``shifts`` (n, C) of logits that stand for 0.5 at ``places`` (n, 2) with many ``patches``."""
    shifts = np.atleast_2d(np.asarray(shifts, np.float64))
    return GeographicPrior.of(
        np.atleast_2d(np.asarray(places, np.float64)),
        np.full(len(shifts), patches),
        expit(shifts),
        np.full(shifts.shape[1], 0.5),
    )
