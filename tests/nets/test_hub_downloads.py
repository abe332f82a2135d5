"""Downloads of published models, from a server on this machine that answers as the hub does."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from test_snapshots import make_snapshot

from geolulc.errors import CheckpointError
from geolulc.nets.hub import fetch_file

NAME = "BIFOLD-BigEarthNetv2-0/tiny-s2-v0.2.0"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves the files of a folder as the repository NAME; ``listed``: the checksums it tells."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.folder = folder
        self.listed = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.iterdir()}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        file = self.server.folder / path.rpartition("/")[2]
        if path == f"/api/models/{NAME}":
            siblings = [
                {
                    "rfilename": name,
                    "size": (self.server.folder / name).stat().st_size,
                    "lfs": {"sha256": digest, "size": 1, "pointerSize": 1},
                }
                for name, digest in self.server.listed.items()
            ]
            content = json.dumps({"id": NAME, "sha": COMMIT, "siblings": siblings}).encode()
        elif path.startswith(f"/{NAME}/resolve/") and file.is_file():
            content = file.read_bytes()
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(make_snapshot(tmp_path / "published")) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def geolulc(hub: Hub, cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # the address is read when the client is imported: a process of its own
    environment = os.environ | {
        "HF_ENDPOINT": hub.url, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "geolulc", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_published_model_is_fetched_once_and_checked(hub: Hub, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    done = geolulc(hub, cache, "models", "fetch", NAME)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert folder.is_relative_to(cache)
    for name in ("config.json", "model.safetensors"):
        assert (folder / name).read_bytes() == (hub.folder / name).read_bytes()
    # from the cache, without the hub
    hub.listed = {}
    for file in hub.folder.iterdir():
        file.unlink()
    told = geolulc(hub, cache, "info", f"hf://{NAME}")
    assert told.returncode == 0, told.stderr
    assert "19" in told.stdout


def test_other_bytes_than_the_hub_lists(hub: Hub, tmp_path: Path) -> None:
    hub.listed["model.safetensors"] = "f" * 64
    done = geolulc(hub, tmp_path / "cache", "models", "fetch", NAME)
    assert done.returncode == 1
    assert "found checksum" in done.stderr
    assert len(done.stderr.strip().splitlines()[-1:]) == 1
    assert "Traceback" not in done.stderr


def test_a_name_that_the_hub_does_not_have(hub: Hub, tmp_path: Path) -> None:
    done = geolulc(hub, tmp_path / "cache", "models", "fetch", "BIFOLD-BigEarthNetv2-0/none-v0.2.0")
    assert done.returncode == 1
    assert "the hub refused" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"no huggingface_hub .*geolulc\[hub\]"):
        fetch_file(NAME, "config.json")
