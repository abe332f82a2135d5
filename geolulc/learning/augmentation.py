"""Random changes of patches that keep their content, of a whole batch at once on the device.

A patch's random numbers in an epoch depend on the seed, the epoch and its place in the train
split only: not on the batch it falls into, the process that reads it or a run that was stopped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolulc.datasets.patch import PatchLayout
from geolulc.errors import ParameterError
from geolulc.learning.config import TrainConfig
from geolulc.nomenclature import IGNORED

#: Network input of each resolution: float32 (N, bands, pixels, pixels), 0 where not valid.
Inputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Draws:
    """Random numbers of ``n`` patches.

    Attributes:
        symmetry: bool (n, 3): transposed, flipped left-right, flipped top-bottom.
        blend: float32 (n,): the patch's own share in a mixup, 0.5..1; None without mixup.
        gain, offset: float32 (n, bands of all groups): spectral jitter, and 0 for a band that is
            dropped; None without either.
        corner: int64 (n, 2), row and column of the upper-left corner of the part that is learned
            from, in steps of the coarsest pixel; None for the whole patch.
        anchor: float32 (n, 3), 0..1: which labelled pixel of a patch with others the part is to
            hold, and where in it.
        crop: its side in such steps.
        side: the whole patch's.
    """

    symmetry: NDArray[np.bool_] | None
    blend: NDArray[np.float32] | None
    gain: NDArray[np.float32] | None
    offset: NDArray[np.float32] | None
    corner: NDArray[np.int64] | None = None
    anchor: NDArray[np.float32] | None = None
    crop: int = 0
    side: int = 0

    def of(self, places: NDArray[np.int64]) -> Draws:
        """The numbers of the patches at ``places``."""
        arrays: dict[str, Any] = {
            k: v[places] for k, v in vars(self).items() if isinstance(v, np.ndarray)
        }
        return replace(self, **arrays)


def draw(config: TrainConfig, epoch: int, patches: int, bands: int, layout: PatchLayout) -> Draws:
    """The random numbers of an epoch for ``patches`` patches of ``bands`` bands.

    Raises:
        ParameterError: crops that are not of whole coarsest pixels, or as large as a patch.
    """
    random = np.random.default_rng([config.seed, epoch, 0xA06])
    symmetry = random.random((patches, 3)) < 0.5 if config.d4 else None
    blend = None
    if config.mixup:
        share = random.beta(config.mixup, config.mixup, patches)
        blend = np.maximum(share, 1 - share).astype(np.float32)
    gain = offset = None
    if config.spectral_jitter or config.band_dropout:
        gain, offset = (_jitter(random, config.spectral_jitter, patches, bands) for _ in range(2))
        kept = random.random((patches, bands), np.float32) >= config.band_dropout
        gain, offset = np.exp(gain) * kept, offset * kept
    corner, anchor, crop, side = None, None, 0, layout.size // layout.coarsest
    if config.crop:
        crop = _crop_steps(config, layout)
        corner = random.integers(0, side - crop + 1, (patches, 2))
        anchor = random.random((patches, 3), np.float32)
    return Draws(symmetry, blend, gain, offset, corner, anchor, crop, side)


def _crop_steps(config: TrainConfig, layout: PatchLayout) -> int:
    """Coarsest pixels along a crop."""
    unit, most = layout.coarsest // layout.pixel, layout.size // layout.pixel
    if config.crop % unit or config.crop >= most:
        raise ParameterError(
            "crop",
            found=f"{config.crop} pixels",
            expected=f"a multiple of {unit} below {most}, of patches of {layout}",
            remedy="Leave it out for whole patches.",
        )
    return config.crop // unit


def _jitter(
    random: np.random.Generator, scale: float, patches: int, bands: int
) -> NDArray[np.float32]:
    # light and haze change bands together, sensors and surfaces each band a little for itself
    together = random.standard_normal((patches, 1), np.float32)
    apart = random.standard_normal((patches, bands), np.float32)
    return np.float32(scale) * (together + apart) / np.float32(2**0.5)


def augment(inputs: Inputs, targets: Tensor, draws: Draws) -> tuple[Inputs, Tensor]:
    """``inputs`` and ``targets`` changed by ``draws`` of the same N patches.

    Targets are labels (N, C), or of pixels, with which they move: classes (N, rows, columns) or
    probabilities (N, C, rows, columns).
    Mixup blends a patch with its neighbour in the batch (0 with 1, 2 with 3, …).
    """
    device = targets.device
    groups = list(inputs)
    if draws.gain is not None and draws.offset is not None:
        sizes = [g.shape[1] for g in groups]
        gains, offsets = (
            torch.split_with_sizes(torch.from_numpy(v).to(device, non_blocking=True), sizes, dim=1)
            for v in (draws.gain, draws.offset)
        )
        groups = [
            # 0 is a pixel without data and stays 0
            torch.where(x == 0, x, x * gain[..., None, None] + offset[..., None, None])
            for x, gain, offset in zip(groups, gains, offsets, strict=True)
        ]
    if draws.corner is not None:
        if targets.ndim == 3:
            draws = replace(draws, corner=_corners(targets, draws))
        groups = [_cropped(x, draws) for x in groups]
        if targets.ndim > 2:
            targets = _cropped(targets, draws)
    if draws.symmetry is not None:
        flags = torch.from_numpy(draws.symmetry).to(device, non_blocking=True)
        groups = [_turn(x, *flags[:, :, None, None, None].unbind(dim=1)) for x in groups]
        if targets.ndim > 2:
            shape = (*flags.shape, *[1] * (targets.ndim - 1))
            targets = _turn(targets, *flags.view(shape).unbind(dim=1))
    if draws.blend is not None:
        share = torch.from_numpy(draws.blend).to(device, non_blocking=True)
        partner = _neighbours(len(targets)).to(device)
        groups = [_blend(x, x[partner], share[:, None, None, None]) for x in groups]
        targets = _blend(targets, targets[partner], share[:, None])
    return tuple(groups), targets


def _turn(x: Tensor, transposed: Tensor, left_right: Tensor, top_bottom: Tensor) -> Tensor:
    # these three make all eight symmetries of the square
    x = torch.where(transposed, x.transpose(-1, -2), x)
    x = torch.where(left_right, x.flip(-1), x)
    return torch.where(top_bottom, x.flip(-2), x)


def _corners(truth: Tensor, draws: Draws) -> NDArray[np.int64]:
    """Corners of parts that hold a labelled pixel where a patch has pixels without a label.

    A part without one teaches nothing. Of a patch without both kinds the corner is that drawn.
    """
    corner = cast(NDArray[np.int64], draws.corner).copy()
    anchor = cast(NDArray[np.float32], draws.anchor)
    step = truth.shape[-1] // draws.side
    last, inside = draws.side - draws.crop, draws.crop * step
    known = (truth != IGNORED).cpu().numpy()
    for place, (mask, (which, *where)) in enumerate(zip(known, anchor, strict=True)):
        labelled = np.argwhere(mask)
        if not 0 < len(labelled) < mask.size:
            continue
        # a float32 just below 1 times many pixels can round up to their number
        pixel = labelled[min(int(which * len(labelled)), len(labelled) - 1)]
        least = np.maximum(0, -(-(pixel - inside + 1) // step))
        most = np.minimum(last, pixel // step)
        corner[place] = np.minimum(least + np.array(where) * (most - least + 1), most)
    return corner


def _cropped(x: Tensor, draws: Draws) -> Tensor:
    """The parts of ``draws`` of a batch of whole patches (N, …, rows, columns)."""
    # along a step
    pixels = x.shape[-1] // draws.side
    side = draws.crop * pixels
    corners = cast(NDArray[np.int64], draws.corner) * pixels
    parts = [
        one[..., row : row + side, column : column + side]
        for one, (row, column) in zip(x, corners.tolist(), strict=True)
    ]
    return torch.stack(parts)


def _neighbours(n: int) -> Tensor:
    partner = torch.arange(n) ^ 1
    return torch.where(partner < n, partner, torch.arange(n))


def _blend(own: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return own * share + other * (1 - share)
