"""Batches for torch: raw digital numbers as uint16, everything else is the device's work."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from geolulc.datasets.order import POOL_RECORDS, batch_spans, shuffled
from geolulc.datasets.pixels import PixelReader
from geolulc.datasets.store import Store, open_store
from geolulc.errors import ParameterError

#: Batches that each worker has ready or in hand.
_AHEAD: Final = 2


class Batch(NamedTuple):
    """N patches: raw DN (0 = no data).

    ``groups``: of each resolution, the finest first, uint16 (N, bands, pixels, pixels): of all
    bands (N, 4, 120, 120), (N, 6, 60, 60) and (N, 2, 20, 20). ``targets`` float32 (N, classes),
    or, of masks, uint8 (N, 120, 120): the position of each pixel's class, 255
    (``nomenclature.IGNORED``) where its code has none; ``indices`` int64 (N): positions in
    the store.
    """

    groups: tuple[torch.Tensor, ...]
    targets: torch.Tensor
    indices: torch.Tensor

    def groups_on(self, device: torch.device) -> list[torch.Tensor]:
        """``groups`` on ``device``."""
        return [group.to(device, non_blocking=True) for group in self.groups]


class PatchLoader:
    """Iterates over batches of a store, once an epoch.

    Over an epoch all ranks together give every index exactly once; nothing is padded. With
    ``shuffle`` (training) every rank gives the same number of batches, and ``set_epoch`` changes
    the order; without it (evaluation) batches follow the order of ``indices``.

    Args:
        store: a store or its path.
        indices: positions in the store, (n,), each at most once unless ``repeated``.
        batch_size: patches a batch and rank.
        shuffle: another order each epoch, from ``seed``; see ``order.shuffled``.
        workers: threads that read ahead; 0 reads when a batch is asked for. Threads do: reading
            frees the interpreter's lock.
        rank, world_size: of this process among those that train together.
        drop_last: leave out what does not fill a batch on every rank.
        verify: compare the pixels with the store's hashes (7 µs a patch).
        pin_memory: batches in page-locked memory, for copies to a GPU that need no waiting.
        repeated: a position may stand there several times: its patch comes as often.
        masks: targets are the classes of the pixels, from the patches' reference maps.
        bands: resolution → names of the bands wanted; None for all of them.

    Raises:
        ParameterError: a value that cannot be used.
        DatasetError: not a store; while iterating: a damaged record.
    """

    def __init__(
        self,
        store: Store | str | Path,
        indices: NDArray[np.int64] | Any,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        verify: bool = True,
        pin_memory: bool = False,
        repeated: bool = False,
        masks: bool = False,
        bands: Mapping[int, Sequence[str]] | None = None,
    ) -> None:
        self.store = store if isinstance(store, Store) else open_store(store)
        self.indices = np.asarray(indices, np.int64)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.workers = workers
        self.epoch = 0
        self._verify = verify
        self._pin_memory = pin_memory
        self._masks = masks
        #: Resolution → channels wanted; None for all, as they are.
        stored = self.store.layout.sensor.groups
        self._channels = {
            r: None if tuple(names) == stored[r] else [stored[r].index(name) for name in names]
            for r, names in (stored if bands is None else bands).items()
        }
        self._check(rank, world_size, repeated)
        ranks = {"rank": rank, "world_size": world_size}
        self._spans = batch_spans(
            len(self.indices), batch_size, **ranks, drop_last=drop_last, equal=shuffle
        )

    def _check(self, rank: int, world_size: int, repeated: bool) -> None:
        for name, value, low, high in (
            ("batch_size", self.batch_size, 1, math.inf),
            ("workers", self.workers, 0, math.inf),
            ("world_size", world_size, 1, math.inf),
            ("rank", rank, 0, world_size),
            ("seed", self.seed, 0, math.inf),
        ):
            if not low <= value < high:
                expected = f"{low} or more" + (f", below {high}" if high < math.inf else "")
                remedy = "Give another value."
                raise ParameterError(name, found=value, expected=expected, remedy=remedy)
        unique = np.unique(self.indices)
        found, expected = "", "a vector of positions in the store, each once"
        if self.indices.ndim != 1:
            found = "no vector"
        elif len(unique) != len(self.indices) and not repeated:
            found = "repeated ones"
        elif len(unique) and (unique[0] < 0 or unique[-1] >= len(self.store)):
            found = f"positions from {unique[0]} to {unique[-1]}"
            expected = f"0 to {len(self.store) - 1}"
        if found:
            remedy = "Use store.split(...)."
            raise ParameterError("indices", found=found, expected=expected, remedy=remedy)

    def __len__(self) -> int:
        """Batches an epoch, on this rank."""
        return len(self._spans)

    def set_epoch(self, epoch: int) -> None:
        """The epoch to iterate over next: with ``seed`` it settles the order."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        order = self.indices
        if self.shuffle:
            order = shuffled(order, seed=self.seed, epoch=self.epoch)
        with PixelReader(self.store, verify=self._verify) as reader:
            if self.workers == 0:
                for start, stop in self._spans:
                    yield self._read(reader, order[start:stop])
            else:
                yield from self._read_ahead(reader, order)

    def _read_ahead(self, reader: PixelReader, order: NDArray[np.int64]) -> Iterator[Batch]:
        # one thread more than workers: it tells the system what the next pool of the shuffle holds
        with ThreadPoolExecutor(self.workers + 1, "geolulc-loader") as executor:
            waiting: deque[Future[Batch]] = deque()
            announced: Future[None] | None = None
            try:
                for spans, coming in self._pools():
                    if announced:
                        announced.result()
                    ahead = np.concatenate([order[:0], *(order[a:b] for a, b in coming)])
                    announced = executor.submit(reader.announce, ahead)
                    for start, stop in spans:
                        waiting.append(executor.submit(self._read, reader, order[start:stop]))
                        if len(waiting) > self.workers * _AHEAD:
                            yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _pools(self) -> Iterator[tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
        """The spans of each pool of the shuffle, with those of the next one."""
        grouped = itertools.groupby(self._spans, key=lambda span: span[0] // POOL_RECORDS)
        pools = [list(spans) for _, spans in grouped]
        return zip(pools, [*pools[1:], []], strict=True) if pools else iter(())

    def _read(self, reader: PixelReader, indices: NDArray[np.int64]) -> Batch:
        whole = {
            r: self._empty(len(indices), *shape) for r, shape in self.store.layout.shapes.items()
        }
        reader.read_into(indices, {r: group.numpy() for r, group in whole.items()})
        groups = tuple(self._select(whole[r], chosen) for r, chosen in self._channels.items())
        if self._masks:
            codes = reader.read_references(indices)
            truth = torch.from_numpy(self.store.legend.positions(codes))
        else:
            truth = torch.from_numpy(self.store.target_bytes[indices].astype(np.float32))
        return Batch(groups, truth, torch.from_numpy(indices.copy()))

    def _empty(self, *shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=torch.uint16, pin_memory=self._pin_memory)

    def _select(self, group: torch.Tensor, channels: list[int] | None) -> torch.Tensor:
        if channels is None:
            return group
        found = self._empty(len(group), len(channels), *group.shape[2:])
        # "clip" writes at once what "raise" would copy first
        np.take(group.numpy(), channels, axis=1, out=found.numpy(), mode="clip")
        return found
