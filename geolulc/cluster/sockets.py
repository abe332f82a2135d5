"""Dask's connections through sockets of files in a folder that only its owner may open.

A scheduler and its workers run what they are sent, so no other user of this machine may reach them.
A port of TCP is open to all; a socket in a folder of mode 700 is not. Addresses are
``unix://FOLDER:NUMBER``, of the file NUMBER in FOLDER. This is a transport as Dask documents them
(https://distributed.dask.org/en/stable/communications.html#extending-the-communication-layer).
"""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from typing import Any, Final

from distributed.comm.addressing import parse_host_port
from distributed.comm.core import CommClosedError
from distributed.comm.registry import backends
from distributed.comm.tcp import MAX_BUFFER_SIZE, TCP, BaseTCPBackend, TCPConnector, TCPListener
from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpserver import TCPServer

#: The scheme of addresses.
PROTOCOL: Final = "unix"
#: Connections that may wait, as of Dask's own listeners.
_BACKLOG: Final = 2048
_PREFIX: Final = f"{PROTOCOL}://"


class _Connector(TCPConnector):  # type: ignore[misc]
    prefix = _PREFIX

    async def connect(self, address: str, deserialize: bool = True, **_: Any) -> TCP:
        stream = IOStream(socket.socket(socket.AF_UNIX), max_buffer_size=MAX_BUFFER_SIZE)
        try:
            await stream.connect(str(_file(*parse_host_port(address))))
        except StreamClosedError as error:
            raise CommClosedError(f"{_PREFIX}{address}: {error}") from error
        return TCP(stream, _PREFIX + address, _PREFIX + address, deserialize)


class _Listener(TCPListener):  # type: ignore[misc]
    prefix = _PREFIX
    port: int

    async def start(self) -> None:
        self.port = self.port or secrets.randbits(62)
        self.bound_address = (self.ip, self.port)
        self.tcp_server = TCPServer(max_buffer_size=MAX_BUFFER_SIZE)
        self.tcp_server.handle_stream = self._handle_stream  # type: ignore[method-assign,assignment]
        listening = socket.socket(socket.AF_UNIX)
        try:
            listening.setblocking(False)
            listening.bind(str(_file(self.ip, self.port)))
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
        self.tcp_server.add_socket(listening)

    async def _handle_stream(self, stream: IOStream, _: object) -> None:
        # the other end has no name; both are on this machine
        comm = TCP(stream, self.listen_address, self.listen_address, self.deserialize)
        comm.allow_offload = self.allow_offload
        try:
            await self.on_connection(comm)
        except CommClosedError:
            return
        await self.comm_handler(comm)


class _Backend(BaseTCPBackend):  # type: ignore[misc]
    _connector_class = _Connector
    _listener_class = _Listener

    def resolve_address(self, loc: str) -> str:
        return loc

    def get_local_address_for(self, loc: str) -> str:
        return str(parse_host_port(loc)[0])


def _file(folder: str, number: int) -> Path:
    return Path(folder) / str(number)


backends[PROTOCOL] = _Backend()


def dask_setup(node: Any) -> None:
    """Close the port of HTTP that every scheduler and worker has; Dask calls this of preloads."""
    node.http_server.stop()
