"""Pixels of many patches, from the store's files straight into the arrays of a batch.

``preadv`` scatters a record's bytes over the batch's arrays: no record is unpacked, nothing is
copied, no file offset is shared (so threads and forked processes do not disturb each other), and
the interpreter's lock is free meanwhile. The constant bytes between the pixels and a hash of the
pixels are compared with what the store should hold.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.datasets.records import pixel_hash, pixel_parts, pixels_end, reference_part
from geolulc.datasets.store import Store
from geolulc.errors import DatasetError

#: Files kept open; a store of more shards opens them as they are needed.
_MOST_OPEN_FILES: Final = 512


class PixelReader(AbstractContextManager["PixelReader"]):
    """Reads pixels of ``store``; safe to share between threads.

    ``verify`` compares each patch's pixels with the hash in the index.
    """

    def __init__(self, store: Store, *, verify: bool = True) -> None:
        self.store = store
        self._verify = verify
        self._parts, self._end = pixel_parts(store.layout), pixels_end(store.layout)
        self._handles: dict[int, int] = {}
        self._lock = threading.Lock()
        self._keep_open = len(store.shard_files) <= _MOST_OPEN_FILES

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            while self._handles:
                os.close(self._handles.popitem()[1])

    def __exit__(self, *exception: object) -> None:
        self.close()

    def read_into(
        self, indices: NDArray[np.int64], groups: Mapping[int, NDArray[np.uint16]]
    ) -> None:
        """Fill ``groups`` with the pixels of the patches at ``indices``.

        Args:
            indices: positions in the store, (N,).
            groups: resolution → C-contiguous uint16 (N, bands, pixels, pixels), written to.

        Raises:
            DatasetError: a file cannot be read, is cut short, or does not hold what it should.
        """
        shards, offsets = self.store.locate(indices)
        arrays = [groups[resolution] for resolution in groups]
        # in the order of the disk, each into its own place
        for place in np.lexsort((offsets, shards)).tolist():
            rows = [array[place] for array in arrays]
            self._read_record(int(indices[place]), int(shards[place]), int(offsets[place]), rows)

    def read_references(self, indices: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Codes uint16 (N, rows, columns) of the reference maps of the patches at ``indices``.

        ``store.legend`` says of which classes they are.

        Raises:
            DatasetError: a file cannot be read, or a record has no reference map at its end.
        """
        part = reference_part(self.store.layout)
        size = len(part[0]) + part[1]
        codes = np.empty((len(indices), *self.store.layout.reference_shape), np.uint16)
        shards, ends = self.store.locate_ends(indices)
        for place in np.lexsort((ends, shards)).tolist():
            index, shard, start = int(indices[place]), int(shards[place]), int(ends[place]) - size
            count, right = self._fill(index, shard, max(start, 0), [part], [codes[place]])
            if count != size or not right:
                raise self._damaged(index, shard, "no reference map")
        return codes if sys.byteorder == "little" else codes.byteswap()

    def _read_record(
        self, index: int, shard: int, offset: int, rows: list[NDArray[np.uint16]]
    ) -> None:
        count, right = self._fill(index, shard, offset, self._parts, rows)
        if count != self._end:
            raise self._damaged(index, shard, f"{max(count, 0)} bytes of {self._end}")
        if not right:
            raise self._damaged(index, shard, "bytes that are not a record of pixels")
        if self._verify and pixel_hash(rows) != self.store.pixel_hashes[index]:
            raise self._damaged(index, shard, "pixels that were changed after they were written")
        if sys.byteorder == "big":
            for row in rows:
                row.byteswap(inplace=True)

    def _fill(
        self,
        index: int,
        shard: int,
        offset: int,
        parts: Sequence[tuple[bytes, int]],
        arrays: list[NDArray[np.uint16]],
    ) -> tuple[int, bool]:
        """Fill ``arrays``; bytes read, and whether those before each array are of ``parts``."""
        heads = [bytearray(len(head)) for head, _ in parts]
        buffers = [buffer for pair in zip(heads, arrays, strict=True) for buffer in pair]
        try:
            if self._keep_open:
                count = _scatter(self._handle(shard), buffers, offset)
            else:
                with self.store.shard_files[shard].open("rb", buffering=0) as file:
                    count = _scatter(file.fileno(), buffers, offset)
        except OSError as error:
            raise self._damaged(index, shard, error.strerror or str(error)) from error
        return count, all(a == b for a, (b, _) in zip(heads, parts, strict=True))

    def _handle(self, shard: int) -> int:
        handle = self._handles.get(shard)
        if handle is None:
            with self._lock:
                handle = self._handles.get(shard)
                if handle is None:
                    handle = os.open(self.store.shard_files[shard], os.O_RDONLY)
                    self._handles[shard] = handle
        return handle

    def announce(self, indices: NDArray[np.int64]) -> None:
        """Tell the system that these records are wanted soon, so that it reads ahead."""
        if not self._keep_open or not hasattr(os, "posix_fadvise"):
            return
        for shard, start, stop in _runs(*self.store.locate(np.sort(indices)), self._end):
            try:
                os.posix_fadvise(self._handle(shard), start, stop - start, os.POSIX_FADV_WILLNEED)
            except OSError:
                return  # advice only: reading says what is wrong

    def _damaged(self, index: int, shard: int, found: str) -> DatasetError:
        file = self.store.shard_files[shard]
        return DatasetError(
            self.store.path,
            found=f"in {file.parent.name}/{file.name}, patch {self.store.keys[index]}: {found}",
            expected="the store as it was opened",
            remedy="geolulc info --verify finds what changed; prepare the store again.",
        )


def _scatter(handle: int, buffers: list[Any], offset: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(handle, buffers, offset)
    wanted = sum(memoryview(buffer).nbytes for buffer in buffers)
    data = os.pread(handle, wanted, offset)  # macOS before 11
    place = 0
    for buffer in buffers:
        flat = memoryview(buffer).cast("B")
        part = data[place : place + len(flat)]
        flat[: len(part)] = part
        place += len(flat)
    return len(data)


def _runs(shards: NDArray[Any], offsets: NDArray[Any], size: int) -> list[tuple[int, int, int]]:
    """(shard, start, stop) of stretches of records that nearly touch."""
    runs: list[tuple[int, int, int]] = []
    for shard, start in zip(shards.tolist(), offsets.tolist(), strict=True):
        first = start
        if runs and runs[-1][0] == shard and start - runs[-1][2] < size:
            first = runs.pop()[1]
        runs.append((shard, first, start + size))
    return runs
