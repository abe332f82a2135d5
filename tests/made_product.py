"""Small products for tests, and networks that tell what they were shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from make_scene import write_safe
from numpy.typing import NDArray
from torch import Tensor, nn

from geolulc.bands import BAND_NAMES, BANDS, GROUPS
from geolulc.nets import LandCoverNet, Model, NetConfig, Normalisation

#: JP2 tiles that neither patches nor each other divide, so that strips have remainders.
ODD_TILES = {10: 250, 20: 130, 60: 50}


def flat_bands(width: int = 2400, height: int = 2400, dn: int = 1500) -> dict[str, NDArray]:
    """Twelve bands of one DN, over ``width`` × ``height`` metres."""
    return {
        b.name: np.full((height // b.resolution, width // b.resolution), dn, np.uint16)
        for b in BANDS
    }


def random_bands(width: int = 2400, height: int = 2400, seed: int = 0) -> dict[str, NDArray]:
    """Smooth enough to look like land, rough enough that every shift changes the numbers."""
    rng = np.random.default_rng(seed)
    return {
        b.name: rng.integers(1001, 4000, (height // b.resolution, width // b.resolution)).astype(
            np.uint16
        )
        for b in BANDS
    }


def position_dn(band: str, row: int, column: int) -> int:
    """DN of ``position_bands``: says the band, and the row (even) or column (odd bands)."""
    index = BAND_NAMES.index(band)
    return 2000 * (index + 1) + (column if index % 2 else row)


def position_bands(width: int, height: int) -> dict[str, NDArray]:
    """Bands whose DN say where they are; every resolution has bands of both kinds."""
    bands = {}
    for b in BANDS:
        rows, columns = np.mgrid[: height // b.resolution, : width // b.resolution]
        index = BAND_NAMES.index(b.name)
        position = columns if index % 2 else rows
        bands[b.name] = (2000 * (index + 1) + position).astype(np.uint16)
    return bands


def make_product(folder: Path, bands: Mapping[str, NDArray] | None = None, **options) -> Path:
    """A product of 2.4 km without offset unless ``options`` (of ``write_safe``) say otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {"baseline": "02.14", "jp2_tiles": ODD_TILES} | options
    return write_safe(folder, flat_bands() if bands is None else bands, **options)


class Corners(nn.Module):
    """Shows the DN of the first and last pixel of each band, as probability × 32768."""

    def forward(self, x10: Tensor, x20: Tensor, x60: Tensor) -> Tensor:
        groups = dict(zip(GROUPS, (x10, x20, x60), strict=True))
        values = [
            groups[b.resolution][:, GROUPS[b.resolution].index(b.name), at, at]
            for at in (0, -1)
            for b in BANDS
        ]
        return torch.logit(torch.stack(values, dim=1).double() / 32768, eps=1e-9).float()


CORNERS = tuple(f"{end} {band}" for end in ("first", "last") for band in BAND_NAMES)


class Recorder(nn.Module):
    """Keeps what the network's trunk is given; answers with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def __deepcopy__(self, memo: dict) -> Recorder:
        return self

    def forward(self, x10: Tensor, x20: Tensor, x60: Tensor) -> Tensor:
        self.seen.append((x10.clone(), x20.clone(), x60.clone()))
        return torch.zeros(len(x10), 1)


class Means(nn.Module):
    """Probability = mean of B04 (DN / 32768) over the patch."""

    def forward(self, x10: Tensor, x20: Tensor, x60: Tensor) -> Tensor:
        means = x10[:, GROUPS[10].index("B04")].double().mean(dim=(1, 2), keepdim=False)
        return torch.logit((means / 32768).clamp(1e-6, 1 - 1e-6))[:, None].float()


def make_model(
    fusion: nn.Module,
    classes: tuple[str, ...] = ("Arable land",),
    *,
    mean: float = 0.0,
    std: float = 1.0,
    name: str = "probe",
    task: str = "patch",
    **options,
) -> Model:
    """A model around any module; by default it sees DN as they are."""
    normalisation = Normalisation(
        mean=dict.fromkeys(BAND_NAMES, mean), std=dict.fromkeys(BAND_NAMES, std)
    )
    net = LandCoverNet(
        fusion,
        config=NetConfig(task=task),
        classes=classes,
        nomenclature="ben19",
        normalisation=normalisation,
    )
    return Model(net.eval(), name=name, **options)
