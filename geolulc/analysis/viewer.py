"""A map in a browser of this machine: one page, and tiles of the map, on the loopback address.

The page is complete in itself and asks nothing of a network. Only this machine can ask: the server
listens on 127.0.0.1, and answers no request that names another host, so that no page of a stranger
can read the map through the browser.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any, Final

from geolulc.analysis.map_file import open_main
from geolulc.analysis.tiles import MapTiles
from geolulc.errors import GeolulcError, OutputError

_HOST: Final = "127.0.0.1"
_TILE: Final = re.compile(r"/tile/(\d{1,9})/(\d{1,9})/(\d{1,9})\.png")
_CELL: Final = re.compile(r"/at/(\d{1,9})/(\d{1,9})")
_POLICY: Final = "default-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"


@contextmanager
def served_map(path: Path, *, port: int = 0) -> Iterator[str]:
    """Serve the map.tif ``path`` meanwhile; the address of its page.

    Args:
        path: map.tif of geolulc, of cells or of pixels.
        port: to listen at; 0 for any that is free.

    Raises:
        OutputError: the map cannot be read, or the port cannot be had.
    """
    with open_main(path) as main:
        tiles = MapTiles(main)
        try:
            server = ThreadingHTTPServer((_HOST, port), _handler(tiles, threading.Lock()))
        except OSError as error:
            raise OutputError(
                f"port {port}",
                found=error.strerror,
                expected="a port that is free",
                remedy="Give another --port, or none.",
            ) from error
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{_HOST}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _handler(tiles: MapTiles, lock: threading.Lock) -> type[BaseHTTPRequestHandler]:
    """Answers of one map; a rasterio dataset is not for several threads at a time."""
    page = resources.files("geolulc.analysis").joinpath("viewer.html").read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = self.headers.get("Host", "").rpartition(":")[0]
            if host not in (_HOST, "localhost"):
                self.send_error(403)
                return
            try:
                with lock:
                    kind, body = answer(self.path)
            except IndexError:
                self.send_error(404)
            except GeolulcError as error:
                self.respond(500, "text/plain; charset=utf-8", str(error).encode())
            else:
                self.respond(200, kind, body)

        def respond(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", _POLICY)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """The terminal is for people."""

    def answer(path: str) -> tuple[str, bytes]:
        if path == "/":
            return "text/html; charset=utf-8", page
        if path == "/map.json":
            return _json(tiles.describe())
        if found := _TILE.fullmatch(path):
            level, row, column = map(int, found.groups())
            return "image/png", tiles.draw(level, row, column)
        if found := _CELL.fullmatch(path):
            row, column = map(int, found.groups())
            return _json(tiles.at(row, column))
        raise IndexError(path)

    return Handler


def _json(value: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(value).encode()
