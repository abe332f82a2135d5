"""The network: raw digital numbers in, logits out. Radiometry and normalisation travel inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor, nn

from geolulc.bands import GROUPS, SENTINEL2, Sensor
from geolulc.datasets.patch import PatchLayout
from geolulc.grid import PATCH_SIZE
from geolulc.nets.config import NetConfig
from geolulc.nets.geographic_prior import GeographicPrior
from geolulc.nets.normalisation import DARK, Normalisation
from geolulc.nomenclature import Nomenclature, nomenclature_of
from geolulc.products.radiometry import has_data, reflectance_dn


class LandCoverNet(nn.Module):
    """A fusion network with its preprocessing.

    Attributes:
        config: the architecture.
        classes: class names, in the order of the logits.
        nomenclature: the classes, with codes and colours.
        normalisation: mean and std by band.
        bands: resolution in metres → names of the bands that the network uses, in its order; the
            finest first, and only resolutions that have any.
        sensor: whose bands they are.
        patch_size: side of a patch on the ground, in metres.
        level: processing level of the products that it was trained on: "L1C" or "L2A".
        geographic_prior: what figures and maps add to the logits, by place; None for none.
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
        sensor: Sensor = SENTINEL2,
        label_correlation: nn.Module | None = None,
        geographic_prior: GeographicPrior | None = None,
        initialisation: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.config = config
        self.classes = tuple(classes)
        self.nomenclature = nomenclature_of(nomenclature)
        self.normalisation = normalisation
        self.bands: Mapping[int, tuple[str, ...]] = MappingProxyType(
            {r: tuple(bands[r]) for r in sorted(bands) if bands[r]}
        )
        self.sensor = sensor
        self.patch_size = patch_size
        self.level = level
        self.fusion = fusion
        self.label_correlation = label_correlation
        self.geographic_prior = geographic_prior
        self.initialisation = dict(initialisation)
        # digital numbers of a step of the logarithm
        self._unit = DARK * sensor.scale if config.reflectance == "log" else 0.0
        scaled = normalisation.of(config.reflectance, sensor.scale)
        for resolution, names in self.bands.items():
            normalisation.require(names)
            mean = torch.tensor([scaled.mean[n] for n in names], dtype=torch.float32)
            std = torch.tensor([scaled.std[n] for n in names], dtype=torch.float32)
            # not persistent: the checkpoint holds them by band name
            self.register_buffer(f"mean{resolution}", mean.view(-1, 1, 1), persistent=False)
            self.register_buffer(f"scale{resolution}", 1 / std.view(-1, 1, 1), persistent=False)

    @property
    def task(self) -> str:
        """ "patch", "fraction": logits (N, classes); "pixel": (N, classes, rows, columns)."""
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

    @property
    def layout(self) -> PatchLayout:
        """The patches that it was trained on: whose and how large."""
        return PatchLayout(self.sensor, self.patch_size)

    @property
    def band_names(self) -> tuple[str, ...]:
        """The bands of all resolutions, in the network's order."""
        return tuple(name for names in self.bands.values() for name in names)

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(bands, pixels, pixels) of a patch, for each resolution."""
        return tuple(
            (len(names), self.patch_size // r, self.patch_size // r)
            for r, names in self.bands.items()
        )

    def forward(self, *groups: Tensor, offsets: Sequence[Tensor] | None = None) -> Tensor:
        """Logits, float32, of raw digital numbers: see ``preprocess`` and ``classify``."""
        return self.classify(*self.preprocess(*groups, offsets=offsets))

    def classify(self, *groups: Tensor, border: int = 0) -> Tensor:
        """Logits, float32, of what ``preprocess`` gives (augmented or not).

        (N, classes) of patches; (N, classes, rows, columns) on the finest grid for the task
        "pixel", whose windows may be of any size in steps of the coarsest pixel. Of the latter's,
        ``border`` metres on each side, in such steps, are left out, and computed no further than
        the rest needs.
        """
        logits = self.fusion(*groups, border=border) if border else self.fusion(*groups)
        logits = logits.float()
        if self.label_correlation is not None:
            logits = self.label_correlation(logits)
        return cast(Tensor, logits)

    def preprocess(
        self, *groups: Tensor, offsets: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """Network input from raw digital numbers, the same for training and mapping.

        ``(max(DN + offset, 0) - mean) / std`` by band, or with reflectance "log" its logarithm
        (``Normalisation.of``); 0 (the mean) where a pixel is not valid.
        A pixel is valid where all bands have data (DN ≠ 0) on its ground: for the finest, in the
        coarser pixels around it too; for a coarser one, in every finest pixel under it.

        Args:
            groups: (N, bands, pixels, pixels) unsigned or signed integers, one for each resolution
                in ``bands``, with its bands in order. Of a patch of 1200 m they have 120, 60 and
                20 pixels of 10, 20 and 60 m.
            offsets: what to add to the DN of the bands of each group, int32 (bands,) each; None
                where the product has none.

        Returns:
            float32 of the shapes of ``groups``.
        """
        groups = tuple(b.to(torch.int32) for b in groups)
        masks = valid_pixels(groups, tuple(self.bands))
        if offsets is not None:  # what a patch of BigEarthNet is: reflectance already
            groups = tuple(
                reflectance_dn(dn, offset.to(dn).view(-1, 1, 1))
                for dn, offset in zip(groups, offsets, strict=True)
            )
        return tuple(
            self._normalise(dn, mask, resolution)
            for dn, mask, resolution in zip(groups, masks, self.bands, strict=True)
        )

    def with_reflectance(
        self, groups: Sequence[Tensor], change: Callable[[str, Tensor], Tensor]
    ) -> tuple[Tensor, ...]:
        """Network input (see ``preprocess``) whose reflectance is changed.

        Args:
            groups: as ``preprocess`` gives them.
            change: (band, its reflectance × 10,000 as (N, rows, columns)) → another one.
        """
        return tuple(
            self._changed(x, resolution, change)
            for x, resolution in zip(groups, self.bands, strict=True)
        )

    def _changed(
        self, x: Tensor, resolution: int, change: Callable[[str, Tensor], Tensor]
    ) -> Tensor:
        mean: Tensor = getattr(self, f"mean{resolution}")
        scale: Tensor = getattr(self, f"scale{resolution}")
        ground = x / scale + mean
        if self._unit:
            ground = ground.expm1_().mul_(self._unit)
        names = self.bands[resolution]
        changed = [change(name, ground[:, i]) for i, name in enumerate(names)]
        return self._scale(torch.stack(changed, dim=1), resolution)

    def valid_share(self, *groups: Tensor) -> Tensor:
        """Share of a patch's finest pixels in which all bands have data, float32 (N,)."""
        mask = valid_pixels([b.to(torch.int32) for b in groups], tuple(self.bands))[0]
        return mask.float().mean(dim=(1, 2))

    def _normalise(self, reflectance: Tensor, mask: Tensor, resolution: int) -> Tensor:
        return self._scale(reflectance.to(torch.float32), resolution).mul_(mask.unsqueeze(1))

    def _scale(self, x: Tensor, resolution: int) -> Tensor:
        """Reflectance × 10,000, float32, as the network's layers take it, in its place."""
        mean: Tensor = getattr(self, f"mean{resolution}")
        scale: Tensor = getattr(self, f"scale{resolution}")
        # in place: this is memory traffic on the way of every patch
        if self._unit:
            x = x.div_(self._unit).log1p_()
        return x.sub_(mean).mul_(scale)


def valid_pixels(groups: Sequence[Tensor], resolutions: Sequence[int]) -> list[Tensor]:
    """Where all bands have data, on the grid of each resolution: bool (N, pixels, pixels) each.

    Args:
        groups: (N, bands, pixels, pixels) of the same ground, the finest first.
        resolutions: of the groups in metres; each divides the next one.
    """
    # digital numbers are not negative: the least of them tells whether all have data
    own = [has_data(b.amin(dim=1)) for b in groups]
    factors = [coarse // fine for fine, coarse in pairwise(resolutions)]
    ground = own[-1]
    for mask, factor in zip(own[-2::-1], factors[::-1], strict=True):
        covered = _cover(mask, factor) & ground[:, :, None, :, None]
        ground = covered.reshape(mask.shape)
    valid = [ground]
    for factor in factors:
        valid.append(_all(_cover(valid[-1], factor)))
    return valid


def _cover(mask: Tensor, factor: int) -> Tensor:
    """(N, rows, factor, columns, factor): the pixels under each one of a coarser grid."""
    n, rows, columns = mask.shape
    return mask.view(n, rows // factor, factor, columns // factor, factor)


def _all(covered: Tensor) -> Tensor:
    """True where all pixels under a coarser one are (faster than two ``all`` on the CPU)."""
    rows = reduce(torch.logical_and, covered.unbind(dim=2))
    return reduce(torch.logical_and, rows.unbind(dim=3))
