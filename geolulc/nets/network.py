"""The network: raw digital numbers in, logits out. Radiometry and normalisation travel inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from types import MappingProxyType
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from geolulc.bands import GROUPS, RESOLUTIONS
from geolulc.grid import PATCH_SIZE
from geolulc.nets.config import NetConfig
from geolulc.nets.normalisation import Normalisation
from geolulc.nomenclature import Nomenclature, nomenclature_of
from geolulc.products.radiometry import has_data, reflectance_dn

#: Side of a patch in pixels, by resolution.
SIDES: Final = MappingProxyType({r: PATCH_SIZE // r for r in RESOLUTIONS})


class LandCoverNet(nn.Module):
    """A fusion network with its preprocessing.

    Attributes:
        config: the architecture.
        classes: class names, in the order of the logits.
        nomenclature: the classes, with codes and colours.
        normalisation: mean and std by band.
        bands: resolution → names of the bands that the network uses, in its order.
        patch_size: side of a patch on the ground, in metres.
        level: processing level of the products that it was trained on: "L1C" or "L2A".
        initialisation: which weights the encoders started from (JSON-able); empty for none.
    """

    def __init__(
        self,
        fusion: nn.Module,
        *,
        config: NetConfig,
        classes: Sequence[str],
        nomenclature: Nomenclature | str,
        normalisation: Normalisation,
        patch_size: int = PATCH_SIZE,
        level: str = "L2A",
        bands: Mapping[int, tuple[str, ...]] = GROUPS,
        label_correlation: nn.Module | None = None,
        initialisation: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.config = config
        self.classes = tuple(classes)
        self.nomenclature = nomenclature_of(nomenclature)
        self.normalisation = normalisation
        self.bands: Mapping[int, tuple[str, ...]] = MappingProxyType(
            {r: tuple(bands[r]) for r in RESOLUTIONS}
        )
        self.patch_size = patch_size
        self.level = level
        self.fusion = fusion
        self.label_correlation = label_correlation
        self.initialisation = dict(initialisation)
        for resolution, names in self.bands.items():
            normalisation.require(names)
            mean = torch.tensor([normalisation.mean[n] for n in names], dtype=torch.float32)
            std = torch.tensor([normalisation.std[n] for n in names], dtype=torch.float32)
            # not persistent: the checkpoint holds them by band name
            self.register_buffer(f"mean{resolution}", mean.view(-1, 1, 1), persistent=False)
            self.register_buffer(f"scale{resolution}", 1 / std.view(-1, 1, 1), persistent=False)

    @property
    def task(self) -> str:
        """ "patch": logits (N, classes); "pixel": logits (N, classes, rows, columns)."""
        return self.config.task

    @property
    def pixel_multiple(self) -> int:
        """Metres that divide the sides of windows that a pixel network does not pad; 0: patches."""
        return int(getattr(self.fusion, "multiple", 0))

    @property
    def margin(self) -> int:
        """Metres at a window's border to leave to its neighbours, of a pixel network; 0: patches.

        What lies beyond the border still changes what is said further inside, but little: one
        class in two thousand (``benchmarks/pixel_margin.py`` measures it).
        """
        return int(getattr(self.fusion, "margin", 0))

    def forward(
        self, b10: Tensor, b20: Tensor, b60: Tensor, offsets: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Logits, float32, of raw digital numbers: see ``preprocess`` and ``classify``."""
        return self.classify(*self.preprocess(b10, b20, b60, offsets))

    def classify(self, x10: Tensor, x20: Tensor, x60: Tensor, *, border: int = 0) -> Tensor:
        """Logits, float32, of what ``preprocess`` gives (augmented or not).

        (N, classes) of patches; (N, classes, rows, columns) on the grid of 10 m for the task
        "pixel", whose windows may be of any size in steps of 60 m. Of the latter's, ``border``
        metres on each side, a multiple of 60, are left out, and computed no further than the rest
        needs.
        """
        groups = (x10, x20, x60)
        logits = (self.fusion(*groups, border) if border else self.fusion(*groups)).float()
        if self.label_correlation is not None:
            logits = self.label_correlation(logits)
        return cast(Tensor, logits)

    def preprocess(
        self, b10: Tensor, b20: Tensor, b60: Tensor, offsets: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Network input from raw digital numbers, the same for training and mapping.

        ``(max(DN + offset, 0) - mean) / std`` by band; 0 (the mean) where a pixel is not valid.
        A pixel is valid where all bands have data (DN ≠ 0) on its ground: for one of 10 m, in the
        pixels of 20 and 60 m around it too; for a coarser one, in every pixel of 10 m under it.

        Args:
            b10: (N, 4, 120, 120) unsigned or signed integers, bands in the order of ``GROUPS``.
            b20: (N, 6, 60, 60), likewise.
            b60: (N, 2, 20, 20), likewise.
            offsets: ``BOA_ADD_OFFSET`` of the bands of each group, int32 (bands,) each; None
                where the product has none.

        Returns:
            float32 (N, bands, pixels, pixels) for 10, 20 and 60 m, of the bands in ``bands``.
        """
        groups = [b.to(torch.int32) for b in (b10, b20, b60)]
        masks = valid_pixels(*groups)
        if offsets is None:
            # what a patch of BigEarthNet is: reflectance already
            shifted = groups
        else:
            shifted = [
                reflectance_dn(dn, offset.to(dn).view(-1, 1, 1))
                for dn, offset in zip(groups, offsets, strict=True)
            ]
        x10, x20, x60 = (
            self._normalise(dn, mask, resolution)
            for dn, mask, resolution in zip(shifted, masks, RESOLUTIONS, strict=True)
        )
        return x10, x20, x60

    def with_reflectance(
        self, groups: Sequence[Tensor], change: Callable[[str, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Network input (see ``preprocess``) whose reflectance is changed.

        Args:
            groups: as ``preprocess`` gives them.
            change: (band, its reflectance × 10,000 as (N, rows, columns)) → another one.
        """
        x10, x20, x60 = (
            self._changed(x, resolution, change)
            for x, resolution in zip(groups, RESOLUTIONS, strict=True)
        )
        return x10, x20, x60

    def _changed(
        self, x: Tensor, resolution: int, change: Callable[[str, Tensor], Tensor]
    ) -> Tensor:
        names = self.bands[resolution]
        if not names:
            return x
        mean: Tensor = getattr(self, f"mean{resolution}")
        scale: Tensor = getattr(self, f"scale{resolution}")
        ground = x / scale + mean
        changed = [change(name, ground[:, i]) for i, name in enumerate(names)]
        return torch.stack(changed, dim=1).sub_(mean).mul_(scale)

    def valid_share(self, b10: Tensor, b20: Tensor, b60: Tensor) -> Tensor:
        """Share of a patch's 10 m pixels in which all bands have data, float32 (N,)."""
        mask = valid_pixels(*(b.to(torch.int32) for b in (b10, b20, b60)))[0]
        return mask.float().mean(dim=(1, 2))

    def _normalise(self, reflectance: Tensor, mask: Tensor, resolution: int) -> Tensor:
        names = self.bands[resolution]
        if names != GROUPS[resolution]:
            order = [GROUPS[resolution].index(n) for n in names]
            reflectance = reflectance[:, order]
        mean: Tensor = getattr(self, f"mean{resolution}")
        scale: Tensor = getattr(self, f"scale{resolution}")
        # in place: this is memory traffic on the way of every patch
        x = reflectance.to(torch.float32)
        return x.sub_(mean).mul_(scale).mul_(mask.unsqueeze(1))


def valid_pixels(b10: Tensor, b20: Tensor, b60: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where all bands have data, on the grid of each resolution: bool (N, pixels, pixels) each.

    The three patches cover the same ground: 6 pixels of 10 m, or 3 of 20 m, are one of 60 m.
    """
    # digital numbers are not negative: the least of them tells whether all have data
    has10, has20, has60 = (has_data(b.amin(dim=1)) for b in (b10, b20, b60))
    ground20 = _cover(has20, 3) & has60[:, :, None, :, None]
    ground10 = _cover(has10, 2) & ground20.reshape(has20.shape)[:, :, None, :, None]
    valid10 = ground10.reshape(has10.shape)
    valid20 = _all(ground10)
    return valid10, valid20, _all(_cover(valid20, 3))


def _cover(mask: Tensor, factor: int) -> Tensor:
    """(N, rows, factor, columns, factor): the pixels under each one of a coarser grid."""
    n, rows, columns = mask.shape
    return mask.view(n, rows // factor, factor, columns // factor, factor)


def _all(covered: Tensor) -> Tensor:
    """True where all pixels under a coarser one are (faster than two ``all`` on the CPU)."""
    rows = reduce(torch.logical_and, covered.unbind(dim=2))
    return reduce(torch.logical_and, rows.unbind(dim=3))
