"""Arrays of Zarr, version 2 or 3, whose metadata and chunks are bounded before they are used.

A store comes from a stranger: of its codecs those are let in that only unpack, and each chunk must
unpack to the size that its array says, which its own head tells before memory is taken.
zarr-python takes both on trust; the packages that it unpacks with (numcodecs) serve here directly.
https://zarr-specs.readthedocs.io
"""

from __future__ import annotations

import importlib
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from geolulc.errors import ProductError
from geolulc.products.archive import Member, damaged, list_members, open_member, reading
from geolulc.products.scene import Tiling

#: Files that say what a folder of Zarr is.
MARKS: Final = ("zarr.json", ".zgroup", ".zattrs", ".zmetadata")
_LARGEST_JSON: Final = 32_000_000
#: Bytes of a chunk: a whole band of 10 m in one.
_LARGEST_CHUNK: Final = 2 * 10_980**2
_MOST_CHUNKS: Final = 20_000
#: What packing may add to a chunk that cannot be packed.
_ADDED: Final = 1 << 16
_LABELS: Final = tuple(f"U{length}" for length in range(1, 33))
_KINDS: Final = {kind: kind for kind in ("<u2", ">u2", "|u1", "<i8", "<f4", "<f8")} | {
    f"<{label}": f"<{label}" for label in _LABELS
}
_KINDS_3: Final = {
    "uint16": "u2", "uint8": "u1", "int64": "i8", "float32": "f4", "float64": "f8",
    **{label: label for label in _LABELS},
}  # fmt: skip
_REMEDY: Final = "Get the product again, or its SAFE."


class Keys(Protocol):
    """The files of a store by their names, with ``/``."""

    def read(self, key: str, most: int) -> bytes | None:
        """The bytes of a file, None for none; ``ProductError`` for more than ``most``."""

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Folder:
    """A store in a folder."""

    path: Path

    def read(self, key: str, most: int) -> bytes | None:
        """See ``Keys``."""
        file = self.path / key
        try:
            if not file.is_file():
                if file.exists():
                    raise damaged(file, "no file")
                return None
            return _bounded(file, file.stat().st_size, most, lambda: file.read_bytes())
        except OSError as error:
            raise damaged(file, error.strerror) from error

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class Zip:
    """A store in a zip."""

    path: Path
    members: Mapping[str, Member] = field(repr=False)

    @classmethod
    def at(cls, path: Path) -> Zip:
        """The one store that lies in a zip; ``ProductError`` where there is none."""
        return cls(path, list_members(path, MARKS))

    def read(self, key: str, most: int) -> bytes | None:
        """See ``Keys``."""
        if (member := self.members.get(key)) is None:
            return None

        def whole() -> bytes:
            with reading(member, OSError), open_member(member) as file:
                data = file.read(member.size + 1)
            if len(data) != member.size:
                raise damaged(member, f"{len(data):,} of {member.size:,} bytes")
            if member.crc not in (None, zlib.crc32(data)):
                raise damaged(member, "its CRC is not that of the zip")
            return data

        return _bounded(member, member.size, most, whole)

    def __str__(self) -> str:
        return str(self.path)


def _bounded(subject: object, size: int, most: int, read: Any) -> bytes:
    if size > most:
        raise damaged(subject, f"{size:,} bytes, where {most:,} are enough")
    data: bytes = read()
    return data


@dataclass(frozen=True)
class Store:
    """A hierarchy of arrays.

    Attributes:
        keys: its files.
        version: 2 or 3.
        nodes: metadata by path, where they are consolidated; "" is the root.
    """

    keys: Keys
    version: int
    nodes: Mapping[str, Any] = field(repr=False)

    @classmethod
    def at(cls, path: Path) -> Store:
        """The store at a path: a folder or a zip; ``ProductError`` where there is none."""
        keys: Keys = Folder(path) if path.is_dir() else Zip.at(path)
        return cls.of(keys)

    @classmethod
    def of(cls, keys: Keys) -> Store:
        """The store of some files; ``ProductError`` where its root is none."""
        if (root := _json(keys, "zarr.json")) is not None:
            consolidated = _part(root, "consolidated_metadata")
            return cls(keys, 3, {**_part(consolidated, "metadata"), "": root})
        consolidated = _json(keys, ".zmetadata") or {}
        nodes = _part(consolidated, "metadata")
        if not nodes and _json(keys, ".zattrs") is None and _json(keys, ".zgroup") is None:
            raise ProductError(
                keys, found=f"none of {', '.join(MARKS)}", expected="a store of Zarr",
                remedy="Give the folder that holds them.",
            )  # fmt: skip
        return cls(keys, 2, nodes)

    def attributes(self, path: str) -> Mapping[str, Any]:
        """The attributes of an array or group, empty for none."""
        if self.version == 3:
            return _part(self._node(path, "zarr.json") or {}, "attributes")
        return self._node(path, ".zattrs") or {}

    def array(self, path: str) -> ZarrArray | None:
        """The array at ``path``, None for none; ``ProductError`` for one that is not let in."""
        node = self._node(path, "zarr.json" if self.version == 3 else ".zarray")
        if node is None:
            return None
        subject = f"{self.keys}/{path}"
        try:
            found = _of_3(node) if self.version == 3 else _of_2(node)
            shape, chunk, kind, fill, codec, separator, prefix = found
            few = len(shape) == len(chunk) in (1, 2) and all(
                isinstance(n, int) and 0 < n <= 1 << 20 for n in (*shape, *chunk)
            )
            if not few:
                raise ValueError(f"shape {shape} in chunks {chunk}")
            dtype = np.dtype(kind)
            size = math.prod(chunk) * dtype.itemsize
            count = math.prod(-(-n // m) for n, m in zip(shape, chunk, strict=True))
            if size > _LARGEST_CHUNK or count > _MOST_CHUNKS:
                raise ValueError(f"{count:,} chunks of {size:,} bytes")
            if fill not in (0, None, 0.0) and not (isinstance(fill, str) and dtype.kind in "fU"):
                raise ValueError(f"fill_value {fill!r}")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ProductError(
                subject,
                found=f"no {error}" if isinstance(error, KeyError) else error,
                expected="an array of numbers with 0 as fill value, in bounded chunks, packed by "
                "blosc, zstd, zlib or gzip",
                remedy=_REMEDY,
            ) from None
        return ZarrArray(
            self.keys, path, tuple(shape), tuple(chunk), dtype, codec, separator, prefix
        )

    def _node(self, path: str, name: str) -> Mapping[str, Any] | None:
        key = path if self.version == 3 else f"{path}/{name}".lstrip("/")
        if key in self.nodes:
            node = self.nodes[key]
            return node if isinstance(node, dict) else {}
        return _json(self.keys, f"{path}/{name}".lstrip("/"))


@dataclass(frozen=True)
class ZarrArray:
    """An array of one or two dimensions.

    Attributes:
        keys: the files of its store.
        path: in the store.
        shape: rows and columns, or a length.
        chunk: the same of a chunk.
        dtype: of its numbers.
        codec: what its chunks are packed by, "" for nothing.
        separator: between the numbers of a chunk's name.
        prefix: of a chunk's name.
    """

    keys: Keys
    path: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    codec: str
    separator: str
    prefix: str

    @property
    def tiling(self) -> Tiling:
        """Of two dimensions: chunks are its tiles."""
        (rows, columns), (high, wide) = self.shape, self.chunk
        return Tiling((rows, columns), (min(high, rows), min(wide, columns)))

    def read(self, *place: int) -> NDArray[Any] | None:
        """One whole chunk, None for one that is not there.

        Raises:
            ProductError: it is damaged.
        """
        size = math.prod(self.chunk) * self.dtype.itemsize
        key = f"{self.path}/{self.prefix}{self.separator.join(map(str, place))}"
        data = self.keys.read(key, size + _ADDED)
        if data is None:
            return None
        try:
            unpacked = _unpack(self.codec, data, size)
        except (ValueError, RuntimeError, zlib.error, IndexError) as error:
            raise damaged(f"{self.keys}/{key}", error) from error
        return np.frombuffer(unpacked, self.dtype).reshape(self.chunk)

    def __str__(self) -> str:
        return f"{self.keys}/{self.path}"


def _json(keys: Keys, key: str) -> dict[str, Any] | None:
    data = keys.read(key, _LARGEST_JSON)
    if data is None:
        return None
    try:
        found = json.loads(data)
        if not isinstance(found, dict):
            raise ValueError(f"a {type(found).__name__}")
    except (ValueError, RecursionError) as error:
        raise ProductError(
            f"{keys}/{key}", found=f"no JSON of Zarr ({error})", expected="its metadata",
            remedy=_REMEDY,
        ) from None  # fmt: skip
    return found


def _part(node: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = node.get(name)
    return found if isinstance(found, dict) else {}


def _of_2(node: Mapping[str, Any]) -> tuple[Any, ...]:
    """What version 2 says: shape, chunk, dtype, fill value, codec, separator, prefix."""
    if node.get("filters") or node.get("order", "C") != "C":
        raise ValueError(f"filters {node.get('filters')}, order {node.get('order')}")
    packed = node["compressor"]
    codec = "" if packed is None else str(packed["id"])
    separator = node.get("dimension_separator", ".")
    return (
        node["shape"], node["chunks"], _known(_KINDS, node["dtype"]), node["fill_value"],
        _let_in(codec), _separator(separator), "",
    )  # fmt: skip


def _of_3(node: Mapping[str, Any]) -> tuple[Any, ...]:
    """The same of version 3."""
    if node["node_type"] != "array" or node.get("storage_transformers"):
        raise ValueError("no plain array")
    grid, keys = node["chunk_grid"], node["chunk_key_encoding"]
    if grid["name"] != "regular" or keys["name"] not in ("default", "v2"):
        raise ValueError(f"chunks {grid['name']}, named {keys['name']}")
    plain = keys["name"] == "default"
    separator = keys.get("configuration", {}).get("separator", "/" if plain else ".")
    first, *others = node["codecs"]
    if first["name"] != "bytes" or len(others) > 1:
        raise ValueError(f"codecs {', '.join(str(codec['name']) for codec in node['codecs'])}")
    order = ">" if first.get("configuration", {}).get("endian", "little") == "big" else "<"
    codec = _let_in(str(others[0]["name"]) if others else "")
    kind = order + _known(_KINDS_3, _named(node["data_type"]))
    return (
        node["shape"], grid["configuration"]["chunk_shape"], kind, node["fill_value"],
        codec, _separator(separator), f"c{separator}" if plain else "",
    )  # fmt: skip


def _named(kind: Any) -> Any:
    """A data type of version 3 by name; that of labels is an object with their length."""
    if isinstance(kind, dict) and kind.get("name") == "fixed_length_utf32":
        return f"U{kind['configuration']['length_bytes'] // 4}"
    return kind


def _known(kinds: Mapping[str, str], name: Any) -> str:
    if not isinstance(name, str) or name not in kinds:
        raise ValueError(f"numbers of {name!r}")
    return kinds[name]


def _let_in(codec: str) -> str:
    if codec not in ("", "blosc", "zstd", "zlib", "gzip"):
        raise ValueError(f"the codec {codec}")
    return codec


def _separator(text: Any) -> str:
    if text not in (".", "/"):
        raise ValueError(f"names of chunks with {text!r}")
    return str(text)


def _unpack(codec: str, data: bytes, size: int) -> bytes:
    """Exactly ``size`` bytes, which the head of the data must promise; ``ValueError`` else."""
    if codec == "blosc":  # README_CHUNK_FORMAT.rst of c-blosc: sizes unpacked, of a block, packed
        promised = int.from_bytes(data[4:8], "little") if len(data) >= 16 else -1
        whole = int.from_bytes(data[12:16], "little") == len(data)
        found = _numcodecs("blosc").decompress(data) if promised == size and whole else b""
    elif codec == "zstd":
        promised = _promised_by_zstd(data)
        found = _numcodecs("zstd").decompress(data) if promised == size else b""
    elif codec in ("zlib", "gzip"):
        stream = zlib.decompressobj(wbits=31 if codec == "gzip" else 15)
        found = stream.decompress(data, size + 1)
        found = found if stream.eof else b""  # its checksum comes last
    else:
        found = data
    if len(found) != size:
        raise ValueError(f"not the {size:,} bytes of a chunk")
    return bytes(found) if not isinstance(found, bytes) else found


def _promised_by_zstd(data: bytes) -> int:
    """Bytes that a frame of Zstandard unpacks to, -1 where it does not say (RFC 8878, 3.1.1.1)."""
    if data[:4] != b"\x28\xb5\x2f\xfd" or len(data) < 18:
        return -1
    head = data[4]
    single, flag = head >> 5 & 1, head >> 6
    length = (single, 2, 4, 8)[flag]
    start = 5 + (1 - single) + (0, 1, 2, 4)[head & 3]
    if not length:
        return -1
    return int.from_bytes(data[start : start + length], "little") + (256 if length == 2 else 0)


def _numcodecs(name: str) -> Any:
    try:
        return importlib.import_module(f"numcodecs.{name}")
    except ImportError:
        raise ProductError(
            "Zarr", found="no package numcodecs", expected="it, to unpack chunks",
            remedy="pip install 'geolulc[zarr]'",
        ) from None  # fmt: skip
