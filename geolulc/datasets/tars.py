"""Tar archives of BigEarthNet, read in place: no small files on the disk, nothing extracted.

A first pass reads the headers and notes where each patch lies in the (decompressed) bytes. A
plain ``.tar`` is then read at these places by any number of workers. A compressed one can only be
read from its start: the patches of one shard after the other are copied into a temporary file,
which a worker reads like a plain tar.

A stranger's archive may hold anything: links, devices, absolute paths, ``..`` and members larger
than any file of a patch are refused, and headers are read within a budget of memory.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import pyarrow as pa

from geolulc.datasets.geotiffs import LARGEST_FILE, BandFile
from geolulc.datasets.reading import file_role
from geolulc.errors import DatasetError
from geolulc.progress import Progress

#: Compression by the file's name; None is a plain tar.
_COMPRESSIONS: Final[dict[str, str | None]] = {
    ".tar": None,
    ".tar.gz": "gzip",
    ".tgz": "gzip",
    ".tar.zst": "zstd",
    ".tzst": "zstd",
    ".tar.bz2": "bz2",
}
#: A patch's twelve bands, labels and headers are 150 kB.
_LARGEST_PATCH: Final = 8 << 20
#: Headers of one member, with its long name or extended attributes.
_LARGEST_HEADER: Final = 1 << 20
_COPY_BYTES: Final = 1 << 20
#: A tar archive ends with two blocks of zeros.
_END_MARK: Final = 2 * tarfile.BLOCKSIZE
#: What reading a damaged or hostile archive raises; tarfile takes numbers of headers as they are.
_TAR_ERRORS: Final[tuple[type[Exception], ...]] = (
    *(tarfile.TarError, OSError, EOFError, ValueError, ArithmeticError, LookupError),
    pa.ArrowException,
)


@dataclass(frozen=True, slots=True)
class TarPatch:
    """A patch in a tar archive: its files are the members in ``start`` … ``stop``."""

    name: str
    start: int
    stop: int


def is_tar(path: Path) -> bool:
    """Whether the name says that this is a tar archive that can be read."""
    return _ending(path) is not None


def is_plain_tar(path: Path) -> bool:
    """Whether a tar archive can be read at any place."""
    return _ending(path) == ".tar"


def _ending(path: Path) -> str | None:
    return next((e for e in _COMPRESSIONS if path.name.lower().endswith(e)), None)


class _Header(tarfile.TarInfo):
    """A member's header; one that is damaged is an error, where tarfile sees the archive's end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.InvalidHeaderError as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"a damaged header: {error}") from error


class _Stream(io.RawIOBase):
    """The decompressed bytes of an archive, read forward, at most ``budget`` more of them."""

    def __init__(self, path: Path) -> None:
        self._file = pa.OSFile(str(path))
        codec = _COMPRESSIONS[_ending(path) or ".tar"]
        self._raw = pa.CompressedInputStream(self._file, codec) if codec else self._file
        self.position = 0
        self.budget: int | None = None
        self.zeros_from = 0  # there is nothing else behind this position

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._raw.read(size)
        if content := len(data.rstrip(b"\0")):
            self.zeros_from = self.position + content
        self.position += len(data)
        if self.budget is not None and self.position > self.budget:
            raise tarfile.ReadError("a header that is larger than any header")
        return data

    def progress(self) -> tuple[int, int]:
        """Bytes of the file read so far, and all of them."""
        return self._file.tell(), self._file.size()

    def close(self) -> None:
        self._raw.close()
        self._file.close()
        super().close()


def list_patches(
    path: Path, is_patch: Callable[[str], bool], progress: Progress | None = None
) -> Iterator[TarPatch]:
    """The patches of an archive, in its order.

    Args:
        path: the archive.
        is_patch: whether a folder of this name is a patch.
        progress: called with (bytes of the file read, all of them).

    Raises:
        DatasetError: the archive is damaged, hostile, or the files of a patch lie apart.
    """
    seen: set[str] = set()
    current: TarPatch | None = None
    for member in _members(path, progress):
        parts = PurePosixPath(member.name).parts
        name = parts[-2] if len(parts) > 1 else ""
        if not member.isreg() or not is_patch(name) or file_role(name, parts[-1]) is None:
            continue
        stop = member.offset_data + member.size
        if current and current.name == name:
            current = TarPatch(name, current.start, stop)
            continue
        if current:
            yield current
        if name in seen:
            raise DatasetError(
                path,
                found=f"files of {name} in several places",
                expected="the files of a patch one after the other",
                remedy="Unpack the archive and give its folder.",
            )
        seen.add(name)
        current = TarPatch(name, member.offset, stop)
    if current:
        yield current


def _members(path: Path, progress: Progress | None) -> Iterator[tarfile.TarInfo]:
    try:
        stream = _Stream(path)
        stream.budget = _LARGEST_HEADER
        with (
            stream,
            tarfile.open(
                fileobj=stream, mode="r|", bufsize=tarfile.RECORDSIZE, tarinfo=_Header
            ) as tar,
        ):
            while (member := tar.next()) is not None:
                # tarfile keeps what it has seen: 7.7 million members would fill the memory
                tar.members = []  # type: ignore[attr-defined]
                _require_harmless(path, member)
                # the next header comes after this member's data
                stream.budget = member.offset_data + member.size + _LARGEST_HEADER
                if progress:
                    progress(*stream.progress())
                yield member
            while stream.read(tarfile.RECORDSIZE):
                pass
            end = tar.offset
            if stream.position < end + _END_MARK:
                raise tarfile.ReadError("it ends too early")
            if stream.zeros_from > end:
                raise tarfile.ReadError(f"more members behind an end at byte {end:,}")
    except _TAR_ERRORS as error:
        expected = f"a whole archive of BigEarthNet ({', '.join(_COMPRESSIONS)})"
        raise _unreadable(path, error, expected) from error


def _unreadable(path: Path, error: Exception, expected: str) -> DatasetError:
    found = f"an archive that cannot be read ({error})"
    return DatasetError(path, found=found, expected=expected, remedy="Fetch it again.")


def _require_harmless(path: Path, member: tarfile.TarInfo) -> None:
    name = PurePosixPath(member.name)
    found = None
    if name.is_absolute() or ".." in name.parts:
        found = "a member that lies outside the archive"
    elif not (member.isreg() or member.isdir()) or member.issparse():
        found = "a member that is no ordinary file or folder"
    elif name.suffix in (".tif", ".json") and member.size > LARGEST_FILE:
        found = f"a member of {member.size} bytes"
    if found:
        raise DatasetError(
            path,
            found=f"{found}: {member.name!r}",
            expected="folders with GeoTIFFs of single patches",
            remedy="Do not use this archive.",
        )


class ForwardReader(AbstractContextManager["ForwardReader"]):
    """Copies ranges of the decompressed bytes of an archive; they must ascend."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: _Stream | None = None

    def __exit__(self, *exception: object) -> None:
        if self._stream:
            self._stream.close()

    def copy(self, ranges: Iterable[tuple[int, int]], target: Path) -> list[tuple[int, int]]:
        """Write ranges (start, stop) one after the other into ``target``: where they are there.

        Raises:
            DatasetError: the archive cannot be read or ends too early.
        """
        places = []
        with target.open("wb") as file:
            for start, stop in ranges:
                first = file.tell()
                try:
                    stream = self._stream = self._stream or _Stream(self.path)
                    for _ in _read_until(stream, start):
                        pass
                    file.writelines(_read_until(stream, stop))
                except (EOFError, pa.ArrowException) as error:
                    expected = "the archive as it was when its patches were listed"
                    raise _unreadable(self.path, error, expected) from error
                places.append((first, file.tell()))
        return places


def _read_until(stream: _Stream, stop: int) -> Iterator[bytes]:
    while stream.position < stop:
        data = stream.read(min(_COPY_BYTES, stop - stream.position))
        if not data:
            raise EOFError("it ends too early")
        yield data


def read_members(path: Path, patch_name: str, start: int, stop: int) -> dict[str, BandFile]:
    """Files of a patch in a plain tar: role (``reading.file_role``) → bytes.

    ``DatasetError`` where these bytes are no tar members.
    """
    files: dict[str, BandFile] = {}
    try:
        if not 0 < stop - start <= _LARGEST_PATCH:
            raise tarfile.ReadError(f"{stop - start} bytes for one patch")
        with path.open("rb") as stream:
            data = os.pread(stream.fileno(), stop - start, start)
        if len(data) < stop - start:
            raise EOFError("it ends too early")
        # the last member's padding, and the end of an archive
        data += bytes(-len(data) % tarfile.BLOCKSIZE + _END_MARK)
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:", tarinfo=_Header) as tar:
            for member in tar:
                role = file_role(patch_name, PurePosixPath(member.name).name)
                content = tar.extractfile(member) if role and member.isreg() else None
                if role and content:
                    files[role] = content.read(LARGEST_FILE)
    except _TAR_ERRORS as error:
        raise DatasetError(
            patch_name,
            found=f"members of the archive that cannot be read ({error})",
            expected="twelve GeoTIFFs",
            remedy="Fetch the archive again, or leave the patch out with --skip-broken.",
        ) from error
    return files
