"""The files of a store of Zarr on a server, each asked for when it is needed."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from geolulc.remote.client import Client, MissingError

#: Names of files that say what is there, which are asked for again and again.
_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


@dataclass(frozen=True)
class OnServer:
    """A store at a URL: the ``Keys`` of ``zarr_arrays``.

    What the server does not have (404) is not there: of chunks, no data. Any other answer that is
    no success is ``RemoteError``, and so are more bytes than are asked for.
    """

    client: Client
    url: str
    _kept: dict[str, bytes | None] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def read(self, key: str, most: int) -> bytes | None:
        """See ``Keys``."""
        if key.rpartition("/")[2] not in _METADATA:
            return self._read(key, most)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._read(key, most)
            return self._kept[key]

    def _read(self, key: str, most: int) -> bytes | None:
        parts = urlsplit(self.url)
        # what follows the path, a signature say, is that of the store
        url = parts._replace(path=f"{parts.path.rstrip('/')}/{quote(key)}").geturl()
        try:
            return self.client.read(url, most=most)
        except MissingError:
            return None

    def __str__(self) -> str:
        return self.url
