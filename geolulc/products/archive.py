"""Where the files of a product lie: in a ``.SAFE`` folder, or inside a ``.zip``, read in place.

A zip comes from a stranger: a member that would leave its folder, a link, an encrypted or a
doubled member refuses the whole zip. Stored members are read where they are (JPEG 2000 does not
compress further, so distributors store it); deflated ones are unpacked first, because seeking in
a deflated stream inflates it again from the start.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from geolulc.errors import ProductError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: The file that makes a folder an L2A product in the compact format (since 2016).
PRODUCT_XML: Final = "MTD_MSIL2A.xml"
_L1C_XML: Final = "MTD_MSIL1C.xml"
#: A product has some 200 files.
_MOST_MEMBERS: Final = 100_000
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
_READABLE: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a product.

    ``name`` is relative to the product's folder, with ``/``. Its ``size`` bytes start at
    ``start`` of the file ``path``; ``inside`` is its name in the zip, None in a folder.
    ``packed``: it must be inflated first.
    """

    name: str
    path: Path
    size: int
    start: int = 0
    inside: str | None = None
    packed: bool = False

    @property
    def gdal_path(self) -> str:
        """The name for GDAL. A stored member is a range of the zip, found by our zip reader."""
        if self.inside is None:
            return str(self.path)
        if self.packed:
            return f"/vsizip/{{{self.path}}}/{self.inside}"
        return f"/vsisubfile/{self.start}_{self.size},{self.path}"

    def __str__(self) -> str:
        return f"{self.path}/{self.inside}" if self.inside is not None else str(self.path)


@dataclass(frozen=True, slots=True)
class Contents:
    """The files of the product at ``path``, by name relative to its folder."""

    path: Path
    members: Mapping[str, Member]

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a small file, at most ``limit``; ``ProductError`` for more."""
        member = self.members[name]
        if member.size > limit:
            raise ProductError(
                member,
                found=f"{member.size:,} bytes",
                expected=f"at most {limit:,} bytes",
                remedy="Download the product again; this is no metadata of Sentinel-2.",
            )
        try:
            with open_member(member) as file:
                data = file.read(limit + 1)
        except (OSError, zipfile.BadZipFile, EOFError, ValueError) as error:
            raise damaged(member, error) from error
        if len(data) != member.size:
            raise damaged(member, f"{len(data):,} of {member.size:,} bytes")
        return data


def list_contents(path: Path) -> Contents:
    """The files of the product at ``path``: a ``.SAFE`` folder, a zip of one, or its XML file.

    Raises:
        ProductError: nothing there, not a product, a Level-1C product, a damaged or hostile zip.
    """
    path = Path(path)
    if path.name == PRODUCT_XML and path.is_file():
        path = path.parent
    if path.is_dir():
        return _list_folder(path)
    if path.is_file():
        return _list_zip(path)
    raise ProductError(
        path,
        found="nothing there",
        expected="a Sentinel-2 L2A product: a .SAFE folder or a .zip of one",
        remedy="Check the path.",
    )


def open_member(member: Member) -> BinaryIO:
    """The member's bytes as a file; one that lies stored in a zip is bounded to its range."""
    if member.inside is None:
        return member.path.open("rb")
    if not member.packed:
        return io.BufferedReader(_Range(member.path, member.start, member.size))
    with zipfile.ZipFile(member.path) as archive:
        # the zip's own handle stays open until this file is closed
        return cast(BinaryIO, archive.open(member.inside))


def damaged(subject: object, found: object) -> ProductError:
    """The error for a file that is cut short or does not hold what it should."""
    return ProductError(
        subject,
        found=f"a damaged file ({found})",
        expected="a whole file",
        remedy="Download the product again.",
    )


class _Range(io.RawIOBase):
    """A read-only part of a file."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        super().__init__()
        self._file, self._start, self._size, self._offset = path.open("rb"), start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._size}[whence]
        self._offset = origin + offset
        return self._offset

    def tell(self) -> int:
        return self._offset

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        self._file.seek(self._start + self._offset)
        count = self._file.readinto(view[: max(0, self._size - self._offset)])
        self._offset += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _list_folder(root: Path) -> Contents:
    if not (root / PRODUCT_XML).is_file():
        raise _not_a_product(root, [entry.name for entry in root.iterdir()])
    members = {}
    for folder, _, files in os.walk(root):
        for file in files:
            path = Path(folder, file)
            name = path.relative_to(root).as_posix()
            if path.is_file():
                members[name] = Member(name, path, path.stat().st_size)
        if len(members) > _MOST_MEMBERS:
            raise _too_many(root)
    return Contents(root, MappingProxyType(members))


def _list_zip(path: Path) -> Contents:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise ProductError(
            path,
            found=f"not a whole zip ({error})",
            expected="a Sentinel-2 L2A product: a .SAFE folder or a .zip of one",
            remedy="Download it again; a download that stopped early looks like this.",
        ) from error
    if len(infos) > _MOST_MEMBERS:
        raise _too_many(path)
    names = set()
    for info in infos:
        _require_harmless(path, info)
        if info.filename in names:
            raise _hostile(path, f"two members called {info.filename}")
        names.add(info.filename)
    files = [info for info in infos if not info.is_dir()]
    tops = [
        str(name.parent)
        for name in (PurePosixPath(info.filename) for info in files)
        if name.name == PRODUCT_XML and len(name.parts) <= 2
    ]
    if len(tops) != 1:
        if tops:
            raise ProductError(
                path,
                found=f"{len(tops)} products",
                expected="one product in a zip",
                remedy="Unpack it and give the .SAFE folders.",
            )
        raise _not_a_product(path, [PurePosixPath(info.filename).name for info in files])
    prefix = "" if tops[0] == "." else tops[0] + "/"
    members = {}
    with path.open("rb") as file:
        for info in files:
            if info.filename.startswith(prefix):
                member = _zip_member(path, file, info, info.filename[len(prefix) :])
                members[member.name] = member
    return Contents(path, MappingProxyType(members))


def _zip_member(path: Path, file: BinaryIO, info: zipfile.ZipInfo, name: str) -> Member:
    """Finds where a stored member's bytes start: behind its local header."""
    if info.compress_type != zipfile.ZIP_STORED:
        return Member(name, path, info.file_size, inside=info.filename, packed=True)
    file.seek(info.header_offset)
    header = file.read(30)
    if len(header) == 30:
        magic, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        start = info.header_offset + 30 + name_length + extra_length
        whole = start + info.file_size <= path.stat().st_size
        if magic == b"PK\x03\x04" and whole and info.compress_size == info.file_size:
            return Member(name, path, info.file_size, start, info.filename)
    raise damaged(f"{path}/{info.filename}", "its bytes are not where the zip says")


def _require_harmless(path: Path, info: zipfile.ZipInfo) -> None:
    name = info.filename
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
        raise _hostile(path, f"a member that leaves its folder: {name}")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise _hostile(path, f"a link: {name}")
    if info.flag_bits & 0x1:
        raise _hostile(path, f"an encrypted member: {name}")
    if info.compress_type not in _READABLE:
        raise _hostile(path, f"a member compressed by method {info.compress_type}: {name}")


def _hostile(path: Path, found: str) -> ProductError:
    return ProductError(
        path,
        found=found,
        expected="a zip as Copernicus distributes it: plain files in one folder",
        remedy="Download it from the source again; do not unpack this one.",
    )


def _too_many(path: Path) -> ProductError:
    return ProductError(
        path,
        found=f"more than {_MOST_MEMBERS:,} files",
        expected="a product of a few hundred files",
        remedy="Give the .SAFE folder or zip of one product.",
    )


def _not_a_product(path: Path, names: list[str]) -> ProductError:
    if _L1C_XML in names:
        return ProductError(
            path,
            found=f"a Level-1C product ({_L1C_XML})",
            expected="a Level-2A product (surface reflectance)",
            remedy="Download the L2A product of the same scene, or make one with Sen2Cor.",
        )
    if any("_MTD_SAFL2A_" in name for name in names):
        return ProductError(
            path,
            found="the product format of before December 2016",
            expected=f"the compact format ({PRODUCT_XML})",
            remedy="Download the reprocessed product (Collection 1).",
        )
    products = sorted(name for name in names if name.endswith(".SAFE"))
    return ProductError(
        path,
        found=f"no {PRODUCT_XML}",
        expected="a Sentinel-2 L2A product: a .SAFE folder or a .zip of one",
        remedy=f"Give {path / products[0]}." if products else "Give the .SAFE folder itself.",
    )
