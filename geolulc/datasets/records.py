"""A patch as the bytes of one datadings record, and back.

A record is a msgpack map. The pixel groups come first and have a constant size in a store, so their
bytes lie at constant places (``pixel_parts``) and a loader can read them straight into a batch; a
reference map comes last, at a constant distance from the record's end.
Arrays are packed the way msgpack-numpy packs plain numbers, so that plain datadings readers give
numpy arrays; here they are unpacked by msgpack alone, which runs nothing that a record holds.
"""

from __future__ import annotations

import sys
from dataclasses import fields
from functools import cache
from typing import Any, Final

import msgpack
import numpy as np
import xxhash
from numpy.typing import NDArray

from geolulc.datasets.patch import BIGEARTHNET, Patch, PatchLayout

_LITTLE_ENDIAN_UINT16: Final = "<u2"
_NOT_DESCRIBED: Final = ("dn", "reference", "fold")
_DESCRIPTION: Final = tuple(f.name for f in fields(Patch) if f.name not in _NOT_DESCRIBED)
_TUPLES: Final = ("labels", "ben19", "clc43")
_NUMBERS: Final = ("left", "top")
_FLAGS: Final = ("snow", "cloud")
_OPTIONAL: Final = ("clc43", "country", "season", "tile", "split", "snow", "cloud", "v1_name")


def _packed_array(array: NDArray[np.uint16]) -> dict[bytes, Any]:
    little = np.ascontiguousarray(array, dtype=_LITTLE_ENDIAN_UINT16)
    return {
        b"nd": True,
        b"type": _LITTLE_ENDIAN_UINT16,
        b"kind": b"",
        b"shape": list(little.shape),
        b"data": little.tobytes(),
    }


def _part(name: str, shape: tuple[int, ...]) -> tuple[bytes, int]:
    """The constant bytes before an array's own in a record, and how many its own are."""
    zeros = np.zeros(shape, np.uint16)
    packed = bytes(msgpack.packb(name) + msgpack.packb(_packed_array(zeros)))
    return packed[: -zeros.nbytes], zeros.nbytes


def _name(resolution: int) -> str:
    return f"b{resolution}"


@cache
def pixel_parts(layout: PatchLayout) -> tuple[tuple[bytes, int], ...]:
    """For each resolution in turn: the bytes that precede its pixels, and the pixels' bytes."""
    (head, size), *others = (_part(_name(r), shape) for r, shape in layout.shapes.items())
    # a record starts with the number of its fields
    fields = len(layout.shapes) + len(_DESCRIPTION) + 1
    return (bytes(msgpack.Packer().pack_map_header(fields)) + head, size), *others


@cache
def pixels_end(layout: PatchLayout) -> int:
    """Bytes from a record's start to the end of its pixels."""
    return sum(len(head) + size for head, size in pixel_parts(layout))


@cache
def reference_part(layout: PatchLayout) -> tuple[bytes, int]:
    """As of pixels, of a reference map: at the end of the record of a patch that has one."""
    return _part("reference", layout.reference_shape)


def pixel_hash(groups: Any) -> int:
    """XXH3 (64 bit) over the bytes of the pixel groups, in order."""
    digest = xxhash.xxh3_64()
    for group in groups:
        digest.update(group)
    return int(digest.intdigest())


def pack_record(patch: Patch) -> bytes:
    """The record of ``patch``."""
    record: dict[str, Any] = {_name(r): _packed_array(patch.dn[r]) for r in sorted(patch.dn)}
    for name in _DESCRIPTION:
        value = getattr(patch, name)
        record[name] = list(value) if isinstance(value, tuple) else value
    record["reference"] = None if patch.reference is None else _packed_array(patch.reference)
    return bytes(msgpack.packb(record))


def unpack_record(data: bytes, layout: PatchLayout = BIGEARTHNET) -> Patch:
    """The patch of a record; ``ValueError`` says what is wrong with bytes that are not one."""
    try:
        record = msgpack.unpackb(data, raw=False, max_map_len=1024, max_array_len=1024)
    except (ValueError, msgpack.UnpackException) as error:
        raise ValueError(f"bytes that are not a msgpack record ({error})") from None
    if not isinstance(record, dict):
        raise ValueError(f"a msgpack {type(record).__name__}, not a map")
    missing = [n for n in (*map(_name, layout.shapes), *_DESCRIPTION) if n not in record]
    if missing:
        raise ValueError(f"a record without {', '.join(missing)}")
    dn = {
        resolution: _unpack_array(record[_name(resolution)], _name(resolution), shape)
        for resolution, shape in layout.shapes.items()
    }
    description = {name: _checked(name, record[name]) for name in _DESCRIPTION}
    reference = record.get("reference")
    if reference is not None:
        reference = _unpack_array(reference, "reference", layout.reference_shape)
    return Patch(dn=dn, reference=reference, **description)


def _checked(name: str, value: Any) -> Any:
    if name in _TUPLES:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        right = value is None and name in _OPTIONAL
    elif value is None:
        right = name in _OPTIONAL
    elif name in _NUMBERS:
        right = type(value) in (int, float)
    else:
        right = isinstance(value, bool if name in _FLAGS else str)
    if not right:
        raise ValueError(f"{name} of the type {type(value).__name__}")
    return value


def _unpack_array(packed: Any, name: str, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    expected = {b"nd": True, b"type": _LITTLE_ENDIAN_UINT16, b"kind": b"", b"shape": list(shape)}
    if not isinstance(packed, dict) or any(packed.get(k) != v for k, v in expected.items()):
        raise ValueError(f"{name} that is not a uint16 array of shape {shape}")
    data = packed.get(b"data")
    if not isinstance(data, bytes) or len(data) != 2 * int(np.prod(shape)):
        raise ValueError(f"{name} whose data are cut short")
    array = np.frombuffer(data, _LITTLE_ENDIAN_UINT16).reshape(shape)
    return array if sys.byteorder == "little" else array.astype(np.uint16)
