"""Object stores, by their URLs: what is there, up and down, and one line for what goes wrong.

Stores are those of fsspec (https://filesystem-spec.readthedocs.io), whose packages take credentials
from the environment. These are never asked for, nor quoted: messages hold no text of a package's.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from geolulc.errors import OutputError, ParameterError

_URL: Final = re.compile(r"[A-Za-z][\w+.-]+://")
_BUCKET: Final = re.compile(r"[^:]+://[^/]+")
#: Packages of stores, whose errors are no OSError.
_PACKAGES: Final = {
    *("aiobotocore", "aiohttp", "asyncio", "azure", "botocore", "fsspec", "gcsfs", "google"),
    *("s3fs", "urllib3"),
}
_AGAIN: Final = "Run the same command again: it goes on where it ended."
_CREDENTIALS: Final = (
    "Check the credentials of the store in the environment (AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, say) and what they allow; run the same command again."
)
#: Names of errors → what they mean, and the remedy.
_REASONS: Final = (
    ("NoCredential|PartialCredential", "no credentials", _CREDENTIALS),
    ("Permission|Forbidden|AccessDenied", "no permission to read or write there", _CREDENTIALS),
    ("FileNotFound|NoSuchBucket", "no such bucket", "Check the address, or make the bucket."),
    ("Timeout", "no answer in time", _AGAIN),
    ("Connect|HTTPClient|ServerDisconnected", "no connection, or one that was cut", _AGAIN),
)


class Store:
    """An object store. Every method raises ``OutputError`` where it cannot be reached or refuses.

    URLs are those of objects and of folders (common beginnings of names) in it.
    """

    def __init__(self, url: str) -> None:
        """Look whether the bucket of ``url`` is there: a long computation would be for nothing.

        Raises:
            ParameterError: no package for such URLs.
            OutputError: no such bucket.
        """
        self._files = _file_system(url)
        bucket = _BUCKET.match(url)
        if bucket is not None:
            # who may not look may still write
            with _explained(bucket[0]), contextlib.suppress(PermissionError):
                self._files.info(self._name(bucket[0]))

    def look(self, url: str) -> dict[str, Any] | None:
        """What the store says of ``url``, as fsspec's ``info``; None where nothing is."""
        with _explained(url):
            try:
                found: dict[str, Any] = self._files.info(self._name(url))
            except FileNotFoundError:
                return None
        return found

    def state(self, url: str) -> list[str] | None:
        """What tells an object from another one that is put in its place; None where none is."""
        found = self.look(url)
        if found is None:
            return None
        told = (found.get(name) for name in ("size", "ETag", "etag", "LastModified", "mtime"))
        return [str(value) for value in told if value is not None]

    def names(self, url: str) -> list[str]:
        """Names of what is in a folder."""
        with _explained(url):
            try:
                found = self._files.ls(self._name(url), detail=False)
            except FileNotFoundError:
                return []
        return [str(name).rstrip("/").rpartition("/")[2] for name in found]

    def get(self, url: str, path: Path) -> None:
        """Download an object."""
        partial = path.with_name(f"{path.name}.partial")
        with _explained(url):
            self._files.get_file(self._name(url), str(partial))
        partial.replace(path)

    def put(self, path: Path, url: str) -> None:
        """Upload a file: its object is there whole afterwards, or not at all."""
        with _explained(url):
            self._files.put_file(str(path), self._name(url))
        found, size = self.look(url), path.stat().st_size
        if found is None or found.get("size") != size:
            raise OutputError(
                url,
                found="no object" if found is None else f"{found.get('size')} bytes",
                expected=f"the {size} bytes that were uploaded",
                remedy=_AGAIN,
            )

    def remove(self, url: str) -> None:
        """Remove an object, if it is there."""
        with _explained(url), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._name(url))

    def _name(self, url: str) -> str:
        return str(self._files._strip_protocol(url))


def is_url(text: object) -> bool:
    """Whether ``text`` is an address, of an object store or another."""
    return _URL.match(str(text)) is not None


def store_url(url: str) -> str:
    """``url`` without a slash at its end.

    Raises:
        ParameterError: it cannot be that of an output.
    """
    scheme, _, rest = url.partition("://")
    plain = rest.rstrip("/")
    if scheme.lower() in ("http", "https"):
        found = "a web address, which cannot be written"
    elif ":" in plain.partition("/")[0].rpartition("@")[0]:
        found = "a password in it"
    elif not plain or re.search(r"[?#\\\x00-\x1f]|//|(^|/)\.{1,2}(/|$)", plain):
        found = "no bucket with a plain name in it"
    else:
        return f"{scheme}://{plain}"
    raise ParameterError(
        url,
        found=found,
        expected="an address such as s3://bucket/map.tif",
        remedy="Give such a one; credentials come from the environment alone.",
    )


def _file_system(url: str) -> Any:
    scheme = url.partition("://")[0]
    remedy = f"Install the package of fsspec for {scheme}."
    try:
        import fsspec

        # what a listing said a moment ago may not be true any more
        return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)
    except (ImportError, ValueError):
        raise ParameterError(
            url,
            found="no package for such addresses",
            expected="one that fsspec knows",
            remedy="pip install 'geolulc[s3]'" if scheme in ("s3", "s3a") else remedy,
        ) from None


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        package = type(error).__module__.partition(".")[0]
        if not isinstance(error, OSError) and package not in _PACKAGES:
            raise
        names = " ".join(kind.__name__ for kind in type(error).__mro__)
        unknown = ("", f"an answer that is no success ({type(error).__name__})", _AGAIN)
        _, found, remedy = next((r for r in _REASONS if re.search(r[0], names)), unknown)
        # its text quotes requests; it may hold what is secret in them
        raise OutputError(
            url, found=found, expected="an object store that takes files", remedy=remedy
        ) from None
