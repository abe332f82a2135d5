"""The patches of one split of a store, with statistics over all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolulc.datasets import Store
from geolulc.datasets.domain import centres, training_domain
from geolulc.datasets.ground import Ground
from geolulc.datasets.loader import Batch, PatchLoader
from geolulc.datasets.pixels import PixelReader
from geolulc.domain import TrainingDomain
from geolulc.errors import DatasetError
from geolulc.learning.config import TrainConfig
from geolulc.learning.intervals import clusters_of
from geolulc.learning.light import Light
from geolulc.learning.processes import ALONE, Processes
from geolulc.nets import Normalisation
from geolulc.nomenclature import Nomenclature

#: Patches whose reference maps tell the shares of the classes: 118 MB.
_SHARES_FROM: Final = 4096
_READ_AT_ONCE: Final = 256


class SplitPatches:
    """The patches of a split; the place of a patch in it counts from 0, in the store's order.

    Attributes:
        store: the store of the patches.
        split: "train", "val" or "test".
        indices: their positions in the store, int64 (n,), ascending; a repeated one counts as
            often, with one place (and one set of random changes an epoch) for all.
        targets: float32 (n, classes).
        masks: batches have the classes of pixels as their targets, from reference maps; patches
            without such a map are left out.
    """

    def __init__(
        self,
        store: Store,
        split: str,
        indices: NDArray[np.int64] | None = None,
        *,
        masks: bool = False,
    ) -> None:
        """Take ``indices`` in place of the whole split.

        Raises:
            DatasetError: ``masks``, and no patch of the split has a reference map.
        """
        self.store = store
        self.split = split
        self.indices: NDArray[np.int64] = (
            store.split(split) if indices is None else np.sort(indices).astype(np.int64)
        )
        self.masks = masks
        if masks:
            self.indices = self._with_reference()
        self.targets: NDArray[np.float32] = store.target_bytes[self.indices].astype(np.float32)

    def __len__(self) -> int:
        return len(self.indices)

    def _with_reference(self) -> NDArray[np.int64]:
        found = self.indices[self.store.has_reference[self.indices]]
        if len(self.indices) and not len(found):
            raise DatasetError(
                self.store.path,
                found=f"no reference map in the split {self.split}",
                expected="the classes of pixels",
                remedy="Prepare BigEarthNet v2 with --reference-maps, or label scenes.",
            )
        return found

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the targets, in their order."""
        return self.nomenclature.names

    @property
    def nomenclature(self) -> Nomenclature:
        """The classes of the targets."""
        return self.store.nomenclature

    @property
    def origin(self) -> dict[str, Any]:
        """What provenance says of where the targets come from, if they are no labels."""
        return {}

    def lessons(self, batch: Batch, epoch: int) -> Tensor:
        """The targets of a batch that an epoch learns from: see ``Batch``."""
        return batch.targets

    def light(self, config: TrainConfig, epoch: int) -> Light | None:
        """The change of light that each patch is seen in, in an epoch; None for none."""
        if not config.light_jitter:
            return None
        random = np.random.default_rng([config.seed, epoch, 0x11E7])
        return Light.draw(random, len(self), self.store.layout.sensor, config.light_jitter)

    def truth(self, batch: Batch) -> Tensor:
        """The targets of a batch that figures are counted against: see ``Batch``."""
        return batch.targets

    @cached_property
    def pixel_shares(self) -> NDArray[np.float32]:
        """Share of each class in the pixels that have one, float32 (C,); of some 4,096 patches."""
        step = -(-len(self) // _SHARES_FROM) or 1
        indices, legend = self.indices[::step], self.store.legend
        counts = np.zeros(256, np.int64)
        with PixelReader(self.store) as reader:
            for start in range(0, len(indices), _READ_AT_ONCE):
                codes = reader.read_references(indices[start : start + _READ_AT_ONCE])
                counts += np.bincount(legend.positions(codes).ravel(), minlength=256)
        counts = counts[: len(legend.nomenclature)]
        return np.asarray(counts / max(int(counts.sum()), 1), np.float32)

    def domain(self, bands: Sequence[str]) -> TrainingDomain:
        """Where and when the patches were seen, and their spectra in these bands."""
        return training_domain(self.store, self.indices, bands)

    @property
    def groups(self) -> dict[str, NDArray[np.str_]]:
        """Country and season of each patch, (n,) each, by these names; "" where not known."""
        columns = {"country": self.store.countries, "season": self.store.seasons}
        return {
            kind: np.array([column[i] or "" for i in self.indices], np.str_)
            for kind, column in columns.items()
        }

    @property
    def clusters(self) -> NDArray[np.str_]:
        """The tile, or acquisition, of each patch, (n,): what is resampled whole."""
        tiles = self.store.column("tile")
        rows = self.indices.tolist()
        return clusters_of([tiles[i] for i in rows], [self.store.keys[i] for i in rows])

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """Longitude and latitude of the patches' centres in degrees, float64 (n, 2)."""
        return centres(self.store, self.indices)

    @property
    def ground(self) -> Ground:
        """The ground of the patches."""
        return self.store.ground(self.indices)

    def places(self, batch: Batch) -> NDArray[np.int64]:
        """The places of a batch's patches, int64 (N,)."""
        return np.searchsorted(self.indices, batch.indices.numpy()).astype(np.int64)

    def key(self, place: int) -> str:
        """The name of the patch at ``place``."""
        return str(self.store.keys[self.indices[place]])

    def identity(self) -> str:
        """Number of patches and a hash of their pixels and labels."""
        digest = hashlib.sha256(self.store.pixel_hashes[self.indices].tobytes())
        digest.update(self.targets.tobytes())
        return f"{len(self)} patches, {digest.hexdigest()[:12]}"

    def loader(
        self,
        batch_size: int,
        *,
        device: torch.device,
        shuffle: bool = False,
        processes: Processes = ALONE,
        **reading: Any,
    ) -> PatchLoader:
        """Batches: shuffled full ones for training, else all patches in their order.

        Several ``processes`` share each batch; ``reading`` is ``bands``, ``seed`` and ``workers``
        of ``PatchLoader``.
        """
        return PatchLoader(
            self.store,
            self.indices,
            batch_size,
            shuffle=shuffle,
            rank=processes.rank,
            world_size=processes.count,
            drop_last=shuffle,
            pin_memory=device.type == "cuda",
            repeated=True,
            masks=self.masks,
            **reading,
        )


def normalisation_of(
    store: Store, bands: Mapping[int, Sequence[str]] | None = None
) -> Normalisation:
    """Mean and standard deviation of the ``bands`` (None: all), of the train split.

    Raises:
        DatasetError: no pixel with data, or a band that is the same everywhere.
    """
    groups = store.layout.sensor.groups if bands is None else bands
    names = [name for group in groups.values() for name in group]
    for band in names:
        if not store.statistics[band].pixels:
            raise DatasetError(
                store.path,
                found=f"no pixel with data in {band} of the train split",
                expected="patches to take mean and standard deviation from",
                remedy="Prepare a store with a train split (--splits).",
            )
        if not store.statistics[band].std:
            raise DatasetError(
                store.path,
                found=f"the same value in every pixel of {band} of the train split",
                expected="a band that varies",
                remedy="Check the patches of the train split.",
            )
    return Normalisation(
        {band: store.statistics[band].mean for band in names},
        {band: store.statistics[band].std for band in names},
    )


def cooccurrence_of(targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Share of the patches that carry both of two classes: (C, C), from targets (n, C)."""
    wide = targets.astype(np.float64)
    return np.asarray(wide.T @ wide / max(len(wide), 1), np.float64)
