"""Which addresses may be asked: of the public internet, and by HTTP or HTTPS alone.

A document of a stranger names the addresses of other documents. One that names this machine, or
one of its network, would have geolulc ask in its place (server-side request forgery, OWASP): such
an address is refused by what the name server says of it, and by where the connection leads.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import Any, Final
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from geolulc.errors import RemoteError

#: Addresses of IPv6 that stand for one of IPv4 (RFC 6052).
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAMES: Final = ("localhost", ".localhost", ".local", ".internal")


def is_public(address: str) -> bool:
    """Whether a numeric address belongs to the public internet, and to one machine."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None and not is_public(str(inner)):
            return False
    return ip.is_global and not ip.is_multicast


def require_askable(url: str, *, allow_internal: bool) -> None:
    """``RemoteError`` unless ``url`` is of HTTP(S) and, by its name, of the public internet."""
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise _refused(url, "no URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise _refused(url, f"a URL of {parts.scheme or 'nothing'}", "HTTP or HTTPS")
    if allow_internal:
        return
    with contextlib.suppress(ValueError):
        _require_public(host, host)
    if host.casefold().endswith(_LOCAL_NAMES):
        raise _refused(host, "a name of this machine or its network")


class GuardedAdapter(HTTPAdapter):  # type: ignore[misc]
    """An adapter of ``requests`` that asks each address, redirects too, by these rules."""

    def __init__(self, *, allow_internal: bool, **options: Any) -> None:
        """``options``: of ``HTTPAdapter``."""
        self._allow_internal = allow_internal
        super().__init__(**options)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """As of the base, with connections that look where they lead."""
        super().init_poolmanager(*arguments, **options)
        if not self._allow_internal:
            self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def send(self, request: Any, *arguments: Any, **options: Any) -> Any:
        """As of the base; ``RemoteError`` for an address that may not be asked."""
        require_askable(request.url, allow_internal=self._allow_internal)
        secret = request.method == "POST" or "Authorization" in request.headers
        if secret and request.url.startswith("http:") and not self._allow_internal:
            raise _refused(request.url, "no encryption", "HTTPS, as credentials are sent")
        return super().send(request, *arguments, **options)


class _Guarded:
    """Looks at what a name stands for, and at the end of the connection: names may change."""

    _dns_host: str
    port: int

    def _new_conn(self) -> Any:
        # where that fails, the base says so
        with contextlib.suppress(socket.gaierror, UnicodeError):
            for *_, found in socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM):
                _require_public(self._dns_host, str(found[0]))
        connection = super()._new_conn()  # type: ignore[misc]
        try:
            _require_public(self._dns_host, connection.getpeername()[0])
        except RemoteError:
            connection.close()
            raise
        return connection


class _Connection(_Guarded, HTTPConnection):
    pass


class _SecureConnection(_Guarded, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _require_public(host: str, address: str) -> None:
    if not is_public(address):
        raise _refused(host, f"the internal address {address}")


def _refused(
    subject: str, found: str, expected: str = "an address of the public internet"
) -> RemoteError:
    return RemoteError(
        subject,
        found=found,
        expected=expected,
        remedy="If you trust who names it: --allow-internal lets internal addresses be asked.",
    )
