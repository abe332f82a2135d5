"""The patches of one split of a store, and what training takes from all of them at once."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from geolulc.bands import BAND_NAMES
from geolulc.datasets import Store
from geolulc.datasets.loader import Batch, PatchLoader
from geolulc.errors import DatasetError
from geolulc.nets import Normalisation


class SplitPatches:
    """The patches of a split; the place of a patch in it counts from 0, in the store's order.

    Attributes:
        store: where they are from.
        split: "train", "val" or "test".
        indices: their positions in the store, int64 (n,), ascending; a repeated one counts as
            often, with one place (and one set of random changes an epoch) for all.
        targets: float32 (n, classes).
    """

    def __init__(self, store: Store, split: str, indices: NDArray[np.int64] | None = None) -> None:
        """``indices`` in place of the whole split."""
        self.store = store
        self.split = split
        self.indices: NDArray[np.int64] = (
            store.split(split) if indices is None else np.sort(indices).astype(np.int64)
        )
        self.targets: NDArray[np.float32] = store.target_bytes[self.indices].astype(np.float32)

    def __len__(self) -> int:
        return len(self.indices)

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
        seed: int = 0,
        workers: int = 0,
        rank: int = 0,
        processes: int = 1,
    ) -> PatchLoader:
        """Batches: shuffled full ones for training, else all patches in their order."""
        return PatchLoader(
            self.store,
            self.indices,
            batch_size,
            shuffle=shuffle,
            seed=seed,
            workers=workers,
            rank=rank,
            world_size=processes,
            drop_last=shuffle,
            pin_memory=device.type == "cuda",
            repeated=True,
        )


def normalisation_of(store: Store) -> Normalisation:
    """Mean and standard deviation by band of the train split.

    Raises:
        DatasetError: no pixel with data, or a band that is the same everywhere.
    """
    for band in BAND_NAMES:
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
        {band: store.statistics[band].mean for band in BAND_NAMES},
        {band: store.statistics[band].std for band in BAND_NAMES},
    )


def cooccurrence_of(targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Share of the patches that carry both of two classes: (C, C), from targets (n, C)."""
    wide = targets.astype(np.float64)
    return np.asarray(wide.T @ wide / max(len(wide), 1), np.float64)
