"""Weights as TensorFlow saves them (a "TensorBundle"), read without TensorFlow.

``variables.index`` is a sorted table of LevelDB (github.com/google/leveldb, doc/table_format.md)
from names to ``BundleEntryProto`` (tensorflow/core/protobuf/tensor_bundle.proto), and
``variables.data-00000-of-00001`` holds the little-endian values. Both come from a stranger: every
length is checked against the file before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geolulc.errors import CheckpointError

_INDEX: Final = "variables.index"
DATA_FILE: Final = "variables.data-00000-of-00001"
#: A footer of two block handles, padded, and the magic number of LevelDB's tables.
_FOOTER: Final = 48
_MAGIC: Final = bytes.fromhex("57fb808b247547db")
#: Of a block: one byte for its compression, four for its checksum.
_TRAILER: Final = 5
_SNAPPY: Final = 1
_LARGEST_INDEX: Final = 2**24
_LARGEST_DATA: Final = 2**30
#: ``DataType`` of float32 in tensorflow/core/framework/types.proto.
_FLOAT: Final = 1


def is_tensor_bundle(folder: Path) -> bool:
    """Whether ``folder`` has the files of a TensorBundle."""
    return (folder / _INDEX).is_file() and (folder / DATA_FILE).is_file()


def read_tensor_bundle(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Name → values of all float32 tensors in ``folder``.

    Raises:
        CheckpointError: a file is missing, too large, damaged, or of several shards.
    """
    index, data = folder / _INDEX, folder / DATA_FILE
    table = _read(index, _LARGEST_INDEX)
    values = _read(data, _LARGEST_DATA)
    tensors = {}
    try:
        for key, entry in _entries(table):
            if key and (tensor := _tensor(dict(_fields(entry)), values)) is not None:
                tensors[key.decode()] = tensor
    except (IndexError, KeyError, ValueError, OSError, OverflowError) as error:
        raise CheckpointError(
            index,
            found=f"a damaged table ({error})",
            expected="a TensorBundle as TensorFlow writes it",
            remedy="Download it again.",
        ) from error
    return tensors


def _read(path: Path, largest: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > largest:
            raise CheckpointError(
                path, found=f"{size:,} bytes", expected=f"at most {largest:,}", remedy="Look at it."
            )
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            path,
            found=error.strerror or type(error).__name__,
            expected="a readable file",
            remedy="Check the path.",
        ) from error


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a table."""
    footer = table[-_FOOTER:]
    if len(footer) < _FOOTER or not footer.endswith(_MAGIC):
        raise ValueError("no magic number")
    _, at = _handle(footer, 0)  # of the metaindex
    index, _ = _handle(footer, at)
    for _, place in _block(table, index):
        yield from _block(table, _handle(place, 0)[0])


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """The offset and size of a block, and where the next value starts."""
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _block(table: bytes, handle: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    offset, size = handle
    block, trailer = table[offset : offset + size], table[offset + size :][:_TRAILER]
    if len(block) < size or len(trailer) < _TRAILER or size < 4:
        raise ValueError("a block beyond the end of the file")
    if trailer[0] == _SNAPPY:
        size, _ = _varint(block, 0)
        if size > _LARGEST_INDEX:
            raise ValueError(f"a block of {size:,} bytes")
        block = pa.decompress(block, size, "snappy", asbytes=True)
    elif trailer[0]:
        raise ValueError("a block of unknown compression")
    end = size - 4 - 4 * int.from_bytes(block[-4:], "little")
    key, at = b"", 0
    while at < end:
        shared, at = _varint(block, at)
        more, at = _varint(block, at)
        length, at = _varint(block, at)
        if shared > len(key) or at + more + length > end:
            raise ValueError("an entry beyond the end of its block")
        key = key[:shared] + block[at : at + more]
        yield key, block[at + more : at + more + length]
        at += more + length


def _tensor(entry: dict[int, int | bytes], values: bytes) -> NDArray[np.float32] | None:
    """The values of an entry, None of another type than float32 (counters, object graphs)."""
    if entry.get(1, 0) != _FLOAT:
        return None
    shape = []
    text = entry.get(2, b"")
    for number, dimension in _fields(text if isinstance(text, bytes) else b""):
        if number == 2 and isinstance(dimension, bytes):
            size = dict(_fields(dimension)).get(1, 0)
            shape.append(size if isinstance(size, int) else -1)
    offset, size = entry.get(4, 0), entry.get(5, 0)
    if not (isinstance(offset, int) and isinstance(size, int)) or entry.get(3, 0):
        raise ValueError("a tensor in another shard")
    count = 1
    for side in shape:
        count *= side
    if min(shape, default=0) < 0 or size != 4 * count or offset + size > len(values):
        raise ValueError(f"a tensor of {shape} in {size} bytes at {offset}")
    return np.frombuffer(values, "<f4", count, offset).reshape(shape).copy()


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protocol buffer: number and value, of varints, texts and fixed numbers."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        size, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        if at + size > len(message):
            raise ValueError("a field beyond the end of its message")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where the next value starts."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number of more than 64 bits")
