"""An object store on loopback (moto's), that fails where it is told to."""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

#: What is secret about it.
SECRET = "S3CRET-of-the-store"  # noqa: S105 - of no real one


@dataclass
class Store:
    """A bucket called "bucket" at ``url``.

    Attributes:
        asked: "METHOD name" of each request, in order.
        faults: "METHOD name" → a status, or "drop": the connection ends without an answer.
    """

    url: str = ""
    asked: list[str] = field(default_factory=list)
    faults: dict[str, int | str] = field(default_factory=dict)
    inside: Callable[..., Any] | None = None

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        name = environ["PATH_INFO"].removeprefix("/bucket").lstrip("/")
        request = f"{environ['REQUEST_METHOD']} {name}"
        self.asked.append(request)
        fault = self.faults.get(request)
        if fault is not None:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if fault == "drop":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        if fault is not None:
            start(f"{fault} Told", [("Content-Length", "0")])
            return [b""]
        assert self.inside is not None
        answer: Iterable[bytes] = self.inside(environ, start)
        return answer

    def uploads(self) -> list[str]:
        """Names in the order in which they were put."""
        return [r.removeprefix("PUT ") for r in self.asked if r.startswith("PUT ")]

    @property
    def _bucket(self) -> Any:
        from moto.s3.models import s3_backends

        return s3_backends["123456789012"]["aws"].buckets["bucket"]

    def objects(self) -> dict[str, bytes]:
        """Name → bytes of all that is there."""
        return {name: key.value for name, key in self._bucket.keys.items()}

    def put(self, name: str, data: bytes) -> None:
        """Have an object there."""
        import boto3

        client = boto3.client("s3", endpoint_url=self.url, region_name="us-east-1")
        client.upload_fileobj(io.BytesIO(data), "bucket", name)
        self.asked.clear()


@contextlib.contextmanager
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store until the context ends; the environment says where it is, and the credentials."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server")
    serving = pytest.importorskip("werkzeug.serving")
    made = Store(inside=server.DomainDispatcherApplication(server.create_backend_app))
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    listening = serving.make_server("127.0.0.1", 0, made, threaded=True)
    listening.daemon_threads = True
    made.url = f"http://127.0.0.1:{listening.port}"
    for name, value in {
        "AWS_ENDPOINT_URL": made.url,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        import boto3

        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="bucket")
        made.asked.clear()
        yield made
    finally:
        made._bucket.keys.clear()
        listening.shutdown()
        thread.join()
        listening.server_close()
