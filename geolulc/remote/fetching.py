"""Products by name into a folder: resumed where a download ended, compared with their checksums.

What is there of a product lies beside it, in ``.NAME.zip.CHECKSUM.part``, and gets its name when
it is whole and right: another version of the product has another checksum, and another file.
"""

from __future__ import annotations

import hashlib
import netrc
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from geolulc.errors import GeolulcError, OutputError, ParameterError, RemoteError
from geolulc.progress import Progress
from geolulc.publishing import sync
from geolulc.remote.client import Client
from geolulc.remote.copernicus import RemoteProduct, Service, find_by_name
from geolulc.staging import claimed, explained, require_free
from geolulc.text_files import TextFiles

#: The names by which the tools of Copernicus call them.
USER, PASSWORD = "CDSE_USERNAME", "CDSE_PASSWORD"
_TOKEN_PATH: Final = "/auth/realms/CDSE/protocol/openid-connect/token"  # noqa: S105
_CLIENT_ID: Final = "cdse-public"
#: Seconds before its end at which a token is not used any more.
_MARGIN: Final = 30
_BLOCK: Final = 1 << 20
#: Parts of one account at a time, as Copernicus allows.
MOST_PARALLEL: Final = 4


@dataclass(frozen=True)
class FetchResult:
    """What became of a name: its file; ``there`` if it was there already; or the ``error``."""

    name: str
    path: Path | None = None
    there: bool = False
    error: GeolulcError | None = None


def list_names(given: Sequence[str]) -> list[str]:
    """``given`` with the ``.txt`` among them replaced by the first word of each of their lines.

    Raises:
        ParameterError: a list that cannot be read, or that lists nothing.
    """
    lists = TextFiles(ParameterError, "a list of names of products", "Give a name a line.", 1 << 26)
    names = []
    for name in given:
        if name.lower().endswith(".txt"):
            names += [line.split()[0] for line in lists.paths(Path(name))]
        else:
            names.append(name)
    return names


def fetch_products(
    client: Client,
    names: Sequence[str],
    out: Path,
    *,
    level: str | None = None,
    parallel: int = 2,
    service: Service | None = None,
    progress: Progress | None = None,
) -> list[FetchResult]:
    """Download products as ``out/NAME.zip``, some at a time; one that fails does not stop others.

    Run again, it resumes. Credentials are those of the environment (``CDSE_USERNAME``,
    ``CDSE_PASSWORD``) or of a netrc entry for the host of the service's identity.

    Args:
        client: asks the service.
        names: of products.
        out: a folder that exists.
        level: "L1C" or "L2A", of the same datatakes and tiles; None for the named ones.
        parallel: products at a time.
        service: None for Copernicus.
        progress: called with megabytes.

    Raises:
        OutputError: ``out`` is no folder that can be written.
        ParameterError: no credentials.
    """
    service = service or Service()
    if not out.is_dir():
        raise OutputError(
            out, found="no folder", expected="a folder to write into", remedy="Create it."
        )
    tokens = _Tokens(client, service)
    counted = _Counter(progress)
    stopped = threading.Event()

    def fetch(name: str) -> FetchResult:
        try:
            product = find_by_name(client, name, level=level, service=service)
            return _fetch(client, product, out, service, tokens, counted.of(stopped))
        except GeolulcError as error:
            return FetchResult(name, error=error)

    with ThreadPoolExecutor(max(1, min(parallel, MOST_PARALLEL))) as threads:
        futures = [threads.submit(fetch, name) for name in dict.fromkeys(names)]
        try:
            return [future.result() for future in futures]
        except BaseException:  # Ctrl-C: what is under way stays for the next run
            stopped.set()
            threads.shutdown(wait=True, cancel_futures=True)
            raise


def _fetch(
    client: Client,
    product: RemoteProduct,
    out: Path,
    service: Service,
    tokens: _Tokens,
    told: Callable[..., None],
) -> FetchResult:
    target = out / f"{product.name}.zip"
    algorithm, expected = _checksum(product)
    with claimed(target):
        whole = target.is_file() and target.stat().st_size == product.size
        if whole and _digest(target, algorithm) == expected:
            return FetchResult(product.name, target, there=True)
        if os.path.lexists(target):
            raise OutputError(
                target,
                found="another file than the product",
                expected="a new path, or the product",
                remedy="Remove it, or give another folder.",
            )
        require_free([target], overwrite=0)
        if not product.online:
            raise RemoteError(
                product.name,
                found="a product that is not online, but in the long-term archive",
                expected="one that can be downloaded",
                remedy="Order it in the Copernicus browser first.",
            )
        part = out / f".{product.name}.zip.{expected[:12]}.part"
        for other in out.glob(f".{product.name}.zip.*.part"):
            if other != part:
                other.unlink(missing_ok=True)
        told(0, product.size)
        with explained(target), part.open("ab") as file:
            told(file.seek(0, 2))
            client.download(
                f"{service.download}/Products({product.identity})/$value",
                file,
                product.size,
                headers=tokens.headers,
                renew=tokens.renew,
                told=told,
            )
        if (found := _digest(part, algorithm)) != expected:
            part.unlink()
            raise RemoteError(
                product.name,
                found=f"a damaged download ({algorithm} {found[:12]}…)",
                expected=f"{expected[:12]}…, as the catalogue says",
                remedy="Run the same command again.",
            )
        sync(part)
        part.rename(target)
        sync(out)
    return FetchResult(product.name, target)


def _checksum(product: RemoteProduct) -> tuple[str, str]:
    """The algorithm and the sum that a download is compared with."""
    for algorithm in ("MD5", "BLAKE3"):
        if (expected := product.checksums.get(algorithm)) and _hasher(algorithm) is not None:
            return algorithm, expected
    raise RemoteError(
        product.name,
        found=f"checksums {', '.join(product.checksums) or 'of none'}",
        expected="MD5, or BLAKE3 with its package",
        remedy="For BLAKE3: pip install blake3.",
    )


def _hasher(algorithm: str) -> Any:
    if algorithm == "MD5":
        return hashlib.md5(usedforsecurity=False)
    try:
        from blake3 import blake3
    except ImportError:
        return None
    return blake3()


def _digest(path: Path, algorithm: str) -> str:
    hasher = _hasher(algorithm)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
    return str(hasher.hexdigest())


class _Tokens:
    """The bearer token of an account: asked for once, for all threads, and again before it ends."""

    def __init__(self, client: Client, service: Service) -> None:
        self._client, self._url = client, service.identity + _TOKEN_PATH
        self._user, self._password = _credentials(service.identity)
        self._lock = threading.Lock()
        self._token, self._end = "", 0.0

    def headers(self) -> Mapping[str, str]:
        with self._lock:
            if time.monotonic() >= self._end:
                self._ask()
            return {"Authorization": f"Bearer {self._token}"}

    def renew(self) -> None:
        """Have the next request use a new token."""
        with self._lock:
            self._end = 0.0

    def _ask(self) -> None:
        form = {
            "grant_type": "password",
            "client_id": _CLIENT_ID,
            "username": self._user,
            "password": self._password,
        }
        answer = self._client.read_json(self._url, data=form)
        try:
            self._token = str(answer["access_token"])
            self._end = time.monotonic() + float(answer.get("expires_in", 600)) - _MARGIN
        except (KeyError, TypeError, ValueError, AttributeError):
            raise RemoteError(
                self._url,
                found="an answer without a token",
                expected="access_token, as OpenID Connect has it",
                remedy="Check the address of the service.",
            ) from None


def _credentials(identity: str) -> tuple[str, str]:
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    if user and password:
        return user, password
    host = urlsplit(identity).hostname or ""
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        found = netrc.netrc(path).authenticators(host) if path.is_file() else None
    except (OSError, UnicodeError, netrc.NetrcParseError) as error:
        reason = error.msg if isinstance(error, netrc.NetrcParseError) else type(error).__name__
        raise ParameterError(
            path, found=f"a file that cannot be read ({reason})", expected="a netrc",
            remedy="Correct it.",
        ) from None  # fmt: skip
    if found and found[0] and found[2]:
        return found[0], found[2]
    raise ParameterError(
        "credentials of the Copernicus Data Space",
        found="none",
        expected=f"{USER} and {PASSWORD} in the environment, or {host} in {path}",
        remedy="Register at https://dataspace.copernicus.eu; downloads are free of charge.",
    )


class _Counter:
    """Adds up the bytes of several downloads, of several threads."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._lock = progress, threading.Lock()
        self._done = self._total = 0

    def of(self, stopped: threading.Event) -> Callable[..., None]:
        """Counts (bytes that came, bytes that will come); ends the thread once ``stopped``."""

        def count(came: int, expected: int = 0) -> None:
            if stopped.is_set():
                raise _StoppedError
            with self._lock:
                self._done += came
                self._total += expected
                if self._progress is not None and self._total:
                    self._progress(self._done // 1_000_000, -(-self._total // 1_000_000))

        return count


class _StoppedError(Exception):
    """The command was stopped."""
