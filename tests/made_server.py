"""Servers on loopback that do what they are told: give files by ranges, and fail."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: str
    handler: BaseHTTPRequestHandler


@dataclass
class Server:
    """What it has, what it was asked for, and which faults come next by path.

    A fault is a status, or: "stall" (the head, then nothing until the end), "cut" (half of the
    body), "garbage" (no HTTP), "drop" (no answer), or a function of the request that answers it.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    routes: dict[str, Callable[[Request], Any]] = field(default_factory=dict)
    faults: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    ranges: bool = True

    def paths(self) -> list[str]:
        return [request.path for request in self.asked]

    def answer(self, request: Request) -> None:
        self.asked.append(request)
        waiting = self.faults.get(request.path)
        fault = waiting.pop(0) if waiting else None
        if isinstance(fault, int):
            send(request, fault, b"")
        elif callable(fault):
            fault(request)
        elif fault == "garbage":
            request.handler.wfile.write(b"\x00\x01 no HTTP \xff\n" * 10)
        elif fault == "drop":
            request.handler.close_connection = True
        elif (route := self.routes.get(request.path)) is not None:
            found = route(request)
            if found is not None:
                send(
                    request, 200, found if isinstance(found, bytes) else json.dumps(found).encode()
                )
        elif (data := self.files.get(request.path)) is not None:
            self._send_file(request, data, fault)
        else:
            send(request, 404, b"")

    def _send_file(self, request: Request, data: bytes, fault: str | None) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        status, headers, body = 200, {}, data
        if asked and self.ranges:
            start, stop = int(asked[1]), int(asked[2] or len(data) - 1) + 1
            if start >= len(data):
                return send(request, 416, b"")
            body = data[start:stop]
            last = start + len(body) - 1
            status, headers = 206, {"Content-Range": f"bytes {start}-{last}/{len(data)}"}
        if fault in ("cut", "stall"):
            half = body[: len(body) // 2]
            send(request, status, half, {**headers, "Content-Length": str(len(body))})
            request.handler.wfile.flush()
            if fault == "stall":
                self.ended.wait()
            request.handler.close_connection = True
        else:
            send(request, status, body, headers)
        return None


def send(request: Request, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    handler = request.handler
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if request.method != "HEAD":
        handler.wfile.write(body)


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A server on loopback until the context ends."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(
                self.command, unquote(parts.path), parse_qs(parts.query), headers, body, self
            )
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                server.answer(request)

        do_GET = do_HEAD = do_POST = _any

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    with Quiet(("127.0.0.1", 0), Handler) as listening:
        server.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            listening.shutdown()
            thread.join()
