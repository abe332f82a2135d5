"""Files on servers, read where they lie: the parts that are asked for, and no more."""

from __future__ import annotations

import io
import re
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

from geolulc.errors import RemoteError
from geolulc.remote.client import Client

#: Bytes that are asked for at once, at least.
_BLOCK: Final = 1 << 16
#: Blocks of a file that are kept.
_KEPT: Final = 256
_REMOTE: Final = re.compile(r"(https?):/+(?=[^/])")


def remote_url(path: Path | str) -> str | None:
    """The URL that a path on the command line means, None for a path. A path keeps one slash."""
    text = str(path)
    return _REMOTE.sub(r"\1://", text, count=1) if _REMOTE.match(text) else None


class RemoteFile:
    """A file on a server, for several readers.

    Attributes:
        url: where it lies.
        error: the first that a reader met; GDAL does not pass errors on.
    """

    def __init__(self, client: Client, url: str) -> None:
        """Ask for the first part; ``RemoteError`` where there is none."""
        self.url, self._client, self._lock = url, client, threading.Lock()
        self.error: RemoteError | None = None
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        data, self.size = client.read_range(url, 0, _BLOCK)
        self._blocks[0] = data

    def open(self, _: str = "", mode: str = "rb", **__: Any) -> io.RawIOBase:
        """A reader of its own: what rasterio calls an opener."""
        if mode != "rb":
            raise io.UnsupportedOperation(mode)
        return _Reader(self)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop`` (exclusive), fewer at the end; ``RemoteError``."""
        stop = min(stop, self.size)
        if start >= stop:
            return b""
        numbers = range(start // _BLOCK, (stop - 1) // _BLOCK + 1)
        with self._lock:
            found = {n: self._blocks[n] for n in numbers if n in self._blocks}
        missing = [n for n in numbers if n not in found]
        if missing:
            first, last = missing[0], missing[-1]
            data, size = self._client.read_range(
                self.url, first * _BLOCK, min((last + 1) * _BLOCK, self.size)
            )
            if size != self.size:
                raise RemoteError(
                    self.url, found=f"{size:,} bytes, {self.size:,} a moment ago",
                    expected="one file", remedy="Run the same command again.",
                )  # fmt: skip
            for n in range(first, last + 1):
                found[n] = data[(n - first) * _BLOCK : (n - first + 1) * _BLOCK]
            with self._lock:
                self._blocks.update(found)
                while len(self._blocks) > _KEPT:
                    self._blocks.popitem(last=False)
        joined = b"".join(found[n] for n in numbers)
        offset = numbers.start * _BLOCK
        return joined[start - offset : stop - offset]


class _Reader(io.RawIOBase):
    def __init__(self, file: RemoteFile) -> None:
        super().__init__()
        self._file, self._place = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._file.size}[whence]
        self._place = max(0, origin + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, size: int = -1) -> bytes:
        stop = self._file.size if size < 0 else self._place + size
        try:
            data = self._file.read(self._place, stop)
        except RemoteError as error:
            self._file.error = self._file.error or error
            return b""  # too few, which GDAL takes for an error
        self._place += len(data)
        return data
