"""The one client of HTTP: each request has its bounds, each failure its one line.

``requests``: pystac-client speaks through its sessions too, so that one guard serves all. Its
retries are those of urllib3; an answer that is cut off is asked for again where it ended.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Final

import requests
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError
from urllib3.util.retry import Retry

from geolulc import __version__
from geolulc.errors import RemoteError
from geolulc.remote.guard import GuardedAdapter, require_askable
from geolulc.remote.signatures import Signatures

#: Seconds to connect, and between two parts of an answer.
_TIMEOUTS: Final = (10.0, 60.0)
_RETRIES: Final = 4
#: Seconds before the second request; each further wait is twice as long.
_BACKOFF: Final = 0.5
#: Seconds that a server may ask to wait.
_LONGEST_WAIT: Final = 120
_REDIRECTS: Final = 5
_PASSING: Final = (429, 500, 502, 503, 504)
#: Bytes and seconds of an answer that is held in memory.
_LARGEST: Final = 64_000_000
_SLOWEST: Final = 300.0
_PART: Final = 1 << 18
_REMEDIES: Final = {
    401: "Check the credentials.",
    403: "Check the credentials, or whether the address needs a signature that has run out.",
    404: "Check the address.",
    429: "Wait, and run the same command again.",
}
_LATER: Final = "Run the same command again later; check the network and the address."


class Client:
    """Asks servers.

    Attributes:
        received: bytes of answers so far.
    """

    def __init__(
        self,
        *,
        allow_internal: bool = False,
        timeouts: tuple[float, float] = _TIMEOUTS,
        backoff: float = _BACKOFF,
    ) -> None:
        """A client with its own connections.

        Args:
            allow_internal: whether addresses of this machine and its network may be asked.
            timeouts: seconds to connect, and between two parts of an answer.
            backoff: seconds before a request is repeated for the first time.
        """
        self.allow_internal, self.received = allow_internal, 0
        for name in ("urllib3.connectionpool", "urllib3.util.retry"):
            logging.getLogger(name).addFilter(_QUERIES)
        self._timeouts, self._backoff, self._lock = timeouts, backoff, threading.Lock()
        self._signatures = Signatures(self.read_json)
        self.session = _Session()
        retries = _Retry(
            total=_RETRIES,
            status_forcelist=_PASSING,
            allowed_methods=("GET", "HEAD", "POST"),
            backoff_factor=backoff,
            backoff_max=_LONGEST_WAIT,
            raise_on_status=False,
        )
        adapter = GuardedAdapter(allow_internal=allow_internal, max_retries=retries)
        # what is none of these has no adapter, and is refused
        self.session.adapters.clear()
        self.session.mount("https://", adapter)
        self.session.mount("http://", adapter)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def read(
        self,
        url: str,
        *,
        most: int = _LARGEST,
        **options: Any,
    ) -> bytes:
        """The answer of ``url``; with ``data`` or ``json``, that is posted.

        ``options``: of ``requests``: data, json, params, headers.

        Raises:
            MissingError: nothing is there.
            RemoteError: no answer, not a good one, or more than ``most`` bytes.
        """
        method = "POST" if {"data", "json"} & options.keys() else "GET"
        for last in [False] * _RETRIES + [True]:
            body = bytearray()
            with self._answer(method, url, **options) as answer:
                try:
                    for part in self._parts(answer, url, most, _SLOWEST):
                        body += part
                    return bytes(body)
                except _CutError:
                    if last:
                        raise
            time.sleep(self._backoff)
        raise AssertionError("the last try returns or raises")

    def read_json(self, url: str, **options: Any) -> Any:
        """The parsed JSON of ``read``; ``RemoteError`` where it is none."""
        try:
            return json.loads(self.read(url, **options))
        except (ValueError, RecursionError):
            raise RemoteError(
                url, found="an answer that is no JSON", expected="JSON", remedy=_LATER
            ) from None

    def read_range(self, url: str, start: int, stop: int) -> tuple[bytes, int]:
        """Bytes ``start`` to ``stop`` (exclusive), fewer at the file's end, and the file's size.

        Raises:
            RemoteError: as ``read``, or a server that does not give ranges.
        """
        body, size, empty = bytearray(), 0, 0
        while len(body) < stop - start and (not size or start + len(body) < size):
            before = len(body)
            asked = {"Range": f"bytes={start + before}-{stop - 1}"}
            with self._answer("GET", url, headers=asked) as answer:
                first, size = _place(answer, url)
                if first != start + before:
                    raise _garbage(url, f"bytes from {first} instead of {start + before}")
                with contextlib.suppress(_CutError):
                    for part in self._parts(answer, url, stop - start - before, _SLOWEST):
                        body += part
            empty = empty + 1 if len(body) == before else 0
            if empty > _RETRIES:
                raise _cut(url, f"{len(body):,} of {stop - start:,} bytes")
            if empty:
                time.sleep(self._backoff * 2**empty)
        return bytes(body), size

    def download(
        self,
        url: str,
        file: BinaryIO,
        size: int,
        *,
        headers: Callable[[], Mapping[str, str]] = dict,
        renew: Callable[[], None] | None = None,
        told: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Append to ``file`` what it lacks of the ``size`` bytes of ``url``.

        Args:
            url: what is asked, with a range where ``file`` holds bytes already.
            file: open for appending.
            size: of the whole.
            headers: called before each request.
            renew: called once where the answer is that they are not valid (any more).
            told: called with bytes that came, negative for those that go.

        Raises:
            RemoteError: as ``read``; what came until then stays in ``file``.
        """
        failed = 0
        while (have := file.seek(0, 2)) < size:
            ranges = {"Range": f"bytes={have}-"} if have else {}
            with contextlib.ExitStack() as stack:
                asking = self._answer("GET", url, headers={**headers(), **ranges})
                try:
                    answer = stack.enter_context(asking)
                except _UnauthorisedError:
                    if renew is None:
                        raise
                    renew()
                    renew = None
                    continue
                if have and answer.status_code != 206:
                    told(-have)  # the server gives no ranges: from the start
                    file.seek(0)
                    file.truncate()
                    have = 0
                elif have and _place(answer, url)[0] != have:
                    raise _garbage(url, "other bytes than were asked for")
                came = 0
                try:
                    for part in self._parts(answer, url, size - have):
                        file.write(part)
                        came += len(part)
                        told(len(part))
                except _CutError:
                    pass
                failed = 0 if came >= _PART else failed + 1
            if file.tell() < size and failed > _RETRIES:
                raise _cut(url, f"{file.tell():,} of {size:,} bytes")
            if file.tell() < size:
                time.sleep(self._backoff * 2**failed)

    @contextlib.contextmanager
    def _answer(self, method: str, url: str, **options: Any) -> Iterator[Any]:
        """The head of a good answer."""
        require_askable(url, allow_internal=self.allow_internal)
        signed = self._signatures.signed(url)
        with _explained(url):
            answer = self.session.request(
                method, signed, stream=True, timeout=self._timeouts, **options
            )
        with contextlib.closing(answer):
            if answer.status_code not in (200, 206):
                raise _refusal(url, answer)
            yield answer

    def _parts(
        self, answer: Any, url: str, most: int, seconds: float | None = None
    ) -> Iterator[bytes]:
        """The body; ``_CutError`` where it ends early or stalls."""
        came, end = 0, None if seconds is None else time.monotonic() + seconds
        with _explained(url, broken=_CutError):
            for part in answer.iter_content(_PART):
                came += len(part)
                with self._lock:
                    self.received += len(part)
                if came > most:
                    raise _garbage(url, f"more than {most:,} bytes")
                if end is not None and time.monotonic() > end:
                    raise _garbage(url, f"an answer that takes longer than {seconds:g} s")
                yield part


class _WithoutQueries(logging.Filter):
    """Takes the queries of addresses, where signatures are, out of what urllib3 logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = re.sub(r"\?[^\s'\"]+", "?…", record.getMessage()), ()
        return True


_QUERIES: Final = _WithoutQueries()


class _CutError(RemoteError):
    """An answer ended before its end."""


class MissingError(RemoteError):
    """A server has nothing at an address (404, 410)."""


class _UnauthorisedError(RemoteError):
    """Credentials are not valid, or not any more."""


class _Session(requests.Session):  # type: ignore[misc]
    """A session that sends credentials only where it was told to."""

    def __init__(self) -> None:
        super().__init__()
        self.headers["User-Agent"] = f"geolulc/{__version__}"
        self.headers["Accept-Encoding"] = "identity"  # a bomb of gzip would pass the bounds
        self.max_redirects = _REDIRECTS
        self.auth = lambda request: request  # else that of netrc, for any host

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        """Credentials do not follow a redirect to another host."""
        headers = prepared_request.headers
        if "Authorization" in headers and self.should_strip_auth(
            response.request.url, prepared_request.url
        ):
            del headers["Authorization"]


class _Retry(Retry):
    """Retries that wait as long as a server asks, within bounds."""

    def increment(self, *arguments: Any, **options: Any) -> Any:
        """As of the base; an answer that asks for a longer wait is the last."""
        response = options.get("response")
        if response is not None and (self.get_retry_after(response) or 0) > _LONGEST_WAIT:
            raise MaxRetryError(options["_pool"], "", None)
        return super().increment(*arguments, **options)

    def get_retry_after(self, response: Any) -> float | None:
        """Seconds; None where the header is no time."""
        try:
            return super().get_retry_after(response)
        except InvalidHeader:
            return None


@contextlib.contextmanager
def _explained(url: str, broken: type[RemoteError] = RemoteError) -> Iterator[None]:
    try:
        yield
    except requests.TooManyRedirects:
        raise _garbage(url, f"more than {_REDIRECTS} redirects") from None
    except (requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
        kind = "proxy" if isinstance(error, requests.exceptions.ProxyError) else "certificate"
        raise RemoteError(
            url,
            found=f"no connection: the {kind} is not accepted",
            expected="an encrypted connection",
            remedy="Check the address, the certificates of this machine and its proxy.",
        ) from None
    except (requests.RequestException, HTTPError, http.client.HTTPException, OSError) as error:
        # their texts quote URLs without their host, with all that is secret in them
        raise broken(url, found=_reason(error), expected="a whole answer", remedy=_LATER) from None


def _reason(error: BaseException) -> str:
    text = repr(error)
    for said, reason in (
        ("NameResolutionError", "no such host"),
        ("ReadTimeout", "no answer in time"),
        ("timed out", "no answer in time"),
        ("ConnectTimeout", "no connection in time"),
        ("refused", "a refused connection"),
        ("IncompleteRead", "an answer that ends early"),
        ("InvalidURL", "no URL"),
        ("InvalidSchema", "no URL of HTTP or HTTPS"),
    ):
        if said in text:
            return reason
    return "an answer that breaks off or is not HTTP"


def _refusal(url: str, answer: Any) -> RemoteError:
    status = answer.status_code
    asked = answer.headers.get("Retry-After", "")
    waiting = f", and asks to wait {asked} s" if asked.isdigit() else ""
    words = http.client.responses.get(status, "")
    kinds = {401: _UnauthorisedError, 404: MissingError, 410: MissingError}
    return kinds.get(status, RemoteError)(
        url,
        found=f"the answer {status} {words}".rstrip() + waiting,
        expected="200 OK",
        remedy=_REMEDIES.get(status, _LATER),
    )


def _place(answer: Any, url: str) -> tuple[int, int]:
    """First byte and size of the whole, of an answer with a range."""
    if answer.status_code != 206:
        raise RemoteError(
            url,
            found="a server that does not give parts of files",
            expected="one that knows range requests (206)",
            remedy="Download the file and give the local one.",
        )
    unit, _, place = answer.headers.get("Content-Range", "").partition(" ")
    part, _, size = place.partition("/")
    first = part.partition("-")[0]
    if unit != "bytes" or not (first.isdecimal() and size.isdecimal()) or len(place) > 60:
        raise _garbage(url, "an answer with a range that does not say which")
    return int(first), int(size)


def _garbage(url: str, found: str) -> RemoteError:
    return RemoteError(url, found=found, expected="a bounded, well-formed answer", remedy=_LATER)


def _cut(url: str, found: str) -> RemoteError:
    return RemoteError(
        url, found=f"an answer that ends early, again and again ({found})",
        expected="a whole answer", remedy=_LATER,
    )  # fmt: skip
