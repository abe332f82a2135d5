"""Where the files of a product lie: in a ``.SAFE`` folder, or inside a ``.zip``, read in place.

A zip comes from a stranger: a member that would leave its folder, a link, an encrypted or a
doubled member refuses the whole zip. Names are read as unzip reads them ("./", "//" and the "\\"
of Windows say nothing more). Stored members are read where they are (JPEG 2000 does not
compress further, so distributors store it); deflated ones are unpacked first, because seeking in
a deflated stream inflates it again from the start.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from geolulc.errors import ProductError
from geolulc.products.refusals import (
    EXPECTED,
    PRODUCT_XML,
    UNPACK,
    hostile,
    no_zip,
    not_a_product,
    require_few,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: The list of its files, by which other programs open it.
MANIFEST: Final = "manifest.safe"
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
_READABLE: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: Encrypted, patched, strongly encrypted, masked (PKWARE APPNOTE, 4.4.4).
_UNREADABLE_FLAGS: Final = 0x1 | 0x20 | 0x40 | 0x2000
#: What reading a member of a zip raises where it is damaged or hostile.
_ZIP_ERRORS: Final[tuple[type[Exception], ...]] = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError),
)


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a product.

    ``name`` is relative to the product's folder, with ``/``. Its ``size`` bytes start at
    ``start`` of the file ``path``; ``inside`` is its name in the zip and ``crc`` its CRC-32 there,
    None in a folder. ``packed``: it must be inflated first.
    """

    name: str
    path: Path
    size: int
    start: int = 0
    inside: str | None = None
    packed: bool = False
    crc: int | None = None

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

    @property
    def level(self) -> str:
        """Processing level, by the product's XML: "L2A" or "L1C"."""
        return next(level for level, name in PRODUCT_XML.items() if name in self.members)

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
        with reading(member, OSError), open_member(member) as file:
            data = file.read(limit + 1)
        if len(data) != member.size:
            raise damaged(member, f"{len(data):,} of {member.size:,} bytes")
        if member.crc not in (None, zlib.crc32(data)):
            raise damaged(member, "its CRC is not that of the zip")
        return data


def list_contents(path: Path) -> Contents:
    """The files of the product at ``path``: a ``.SAFE`` folder, a zip of one, or its XML file.

    The product may lie one folder deeper, and links are followed.

    Raises:
        ProductError: nothing there, not a product, several products, a damaged or hostile zip, a
            folder that cannot be read.
    """
    path = Path(path)
    try:
        if path.name in (*PRODUCT_XML.values(), MANIFEST) and holds_product(path.parent):
            path = path.parent
        if path.is_dir():
            return _list_folder(path)
        if path.is_file():
            return _list_zip(path)
        subject, remedy = path, "Check the path."
        found = "neither a file nor a folder" if path.exists() else "nothing there"
    except OSError as error:
        subject, remedy = error.filename or path, "Make it readable."
        found = error.strerror or type(error).__name__
    raise ProductError(subject, found=found, expected=EXPECTED, remedy=remedy)


def holds_product(folder: Path) -> bool:
    """Whether ``folder`` has the XML of a product."""
    return any((folder / name).is_file() for name in PRODUCT_XML.values())


def open_member(member: Member) -> io.BufferedIOBase:
    """The member's bytes as a file; one that lies stored in a zip is bounded to its range."""
    if member.inside is None:
        return member.path.open("rb")
    if not member.packed:
        return io.BufferedReader(_Range(member.path, member.start, member.size))
    with zipfile.ZipFile(member.path) as archive:
        # the zip's own handle stays open until this file is closed
        return cast(io.BufferedIOBase, archive.open(member.inside))


def damaged(subject: object, found: object) -> ProductError:
    """The error for a file that is cut short or does not hold what it should."""
    return ProductError(
        subject,
        found=f"a damaged file ({found})",
        expected="a whole file",
        remedy="Download the product again.",
    )


@contextmanager
def reading(member: Member, *others: type[Exception]) -> Iterator[None]:
    """What zips raise that are damaged or hostile, and ``others``, as an error of ``member``."""
    try:
        yield
    except (*_ZIP_ERRORS, *others) as error:
        raise damaged(member, error) from error


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
    if not holds_product(root):
        inner = sorted(folder for folder in root.iterdir() if holds_product(folder))
        if len(inner) != 1:
            raise not_a_product(root, [entry.name for entry in root.iterdir()], inner)
        root = inner[0]
    members = {}
    for path in _walk(root):
        name = path.relative_to(root).as_posix()
        members[name] = Member(name, path, path.stat().st_size)
        require_few(root, len(members))
    return Contents(root, MappingProxyType(members))


def _walk(root: Path) -> Iterator[Path]:
    """The files below ``root``, behind links too; each folder once, as links may go in circles."""

    def stop(error: OSError) -> None:
        raise error

    seen = set()
    for name, folders, files in os.walk(root, followlinks=True, onerror=stop):
        folder = Path(name)
        own = folder.stat()
        if (own.st_dev, own.st_ino) in seen:
            folders.clear()
            continue
        seen.add((own.st_dev, own.st_ino))
        yield from (path for file in files if (path := folder / file).is_file())


def _list_zip(path: Path) -> Contents:
    return Contents(path, MappingProxyType(list_members(path, PRODUCT_XML.values())))


def list_members(path: Path, marks: Collection[str]) -> dict[str, Member]:
    """The members of a zip that lie with, or below, the one outermost file named as in ``marks``.

    Raises:
        ProductError: a damaged or hostile zip, or none or several such files.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except _ZIP_ERRORS as error:
        raise no_zip(path, error) from error
    require_few(path, len(infos))
    files = {}
    for info in infos:
        name = _plain_name(path, info)
        if info.filename.endswith(("/", "\\")):
            continue
        if name in files:
            raise hostile(path, f"two members called {name}")
        files[name] = info
    pure = [PurePosixPath(name) for name in files]
    tops: list[str] = []
    for top in sorted({str(p).removesuffix(p.name) for p in pure if p.name in marks}):
        if not (tops and top.startswith(tops[-1])):
            tops.append(top)
    if len(tops) != 1:
        raise not_a_product(path, [PurePosixPath(name).name for name in files], tops)
    members = {}
    with path.open("rb") as file:
        for name, info in files.items():
            if name.startswith(tops[0]):
                member = _zip_member(path, file, info, name.removeprefix(tops[0]))
                members[member.name] = member
    return members


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
            return Member(name, path, info.file_size, start, info.filename, crc=info.CRC)
    raise damaged(f"{path}/{info.filename}", "its bytes are not where the zip says")


def _plain_name(path: Path, info: zipfile.ZipInfo) -> str:
    """A member's name as unzip makes it; ``ProductError`` for a member that it should not make."""
    written = info.filename.replace("\\", "/")
    parts = [part for part in written.split("/") if part not in ("", ".")]
    outside = written.startswith("/") or ".." in parts or ":" in "".join(parts[:1])
    if outside or not (parts or written.endswith("/")):
        raise hostile(path, f"a member that leaves its folder: {info.filename}")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise hostile(path, f"a link: {info.filename}")
    unusual = "encrypted or patched" if info.flag_bits & _UNREADABLE_FLAGS else ""
    if info.compress_type not in _READABLE:
        unusual = f"compressed by method {info.compress_type}"
    if unusual:
        raise ProductError(
            path,
            found=f"a member that is {unusual}: {info.filename}",
            expected="members that are stored or deflated",
            remedy=UNPACK,
        )
    return "/".join(parts)
