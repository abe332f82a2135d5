"""Images of the Planetary Computer: signed where they are asked for, and nowhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_items import write_item
from made_product import make_product, random_bands
from made_server import Request, Server, send, serving

from geolulc.cli import cli
from geolulc.errors import RemoteError
from geolulc.remote import signatures
from geolulc.remote.client import Client
from geolulc.remote.signatures import Signatures

SECRET = "sv=2024-05-04&sig=S3CRET%2Fof%2Bit%3D"  # noqa: S105 - of no real one
PLACE = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/32/T/B04.tif"


class Storage:
    """Storage that gives images to signed requests alone, and the service of its tokens."""

    def __init__(self, server: Server) -> None:
        self.server, self.tokens, self.minutes = server, 0, 60
        server.routes["/token/127/sentinel2-l2"] = self._token

    def _token(self, _: Request) -> dict[str, str]:
        self.tokens += 1
        end = datetime.now(UTC) + timedelta(minutes=self.minutes)
        return {"token": SECRET, "msft:expiry": end.isoformat()}

    def put(self, name: str, data: bytes) -> None:
        def signed(request: Request) -> None:
            if not request.query.get("sig"):
                return send(request, 409, b"")
            return self.server._send_file(request, data, None)

        self.server.routes[name] = signed


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    with serving() as server:
        monkeypatch.setenv("PC_SDK_SAS_URL", f"{server.url}/token")
        here = re.compile(r"http://(127)\.0\.0\.1:\d+/(sentinel2-l2)/")
        monkeypatch.setattr(signatures, "_STORAGE", here)
        yield Storage(server)


def test_a_map_holds_no_signature(storage: Storage, tmp_path: Path, caplog) -> None:
    safe = make_product(tmp_path / "s", random_bands(), baseline="05.10")
    path = write_item(safe, tmp_path / "x", collection="sentinel-2-l2a", common=False)
    for file in path.parent.glob("*.tif"):
        storage.put(f"/sentinel2-l2/{file.name}", file.read_bytes())
    item = json.loads(path.read_text())
    for asset in item["assets"].values():
        asset["href"] = asset["href"].replace("./", f"{storage.server.url}/sentinel2-l2/")
    path.write_text(json.dumps(item))
    (tmp_path / "out").mkdir()
    with caplog.at_level("DEBUG"):
        run = CliRunner().invoke(
            cli, ["map", str(path), "--out", str(tmp_path / "out/map.tif"), "--json", "-q",
                  "--allow-internal", "--outputs", "probabilities,stac,report"],
            catch_exceptions=False,
        )  # fmt: skip
    assert run.exit_code == 0
    assert storage.tokens == 1
    written = [file.read_bytes() for file in (tmp_path / "out").iterdir()]
    assert len(written) > 3
    for text in (run.output, caplog.text, *(data.decode("latin-1") for data in written)):
        assert "S3CRET" not in text


def test_tokens_are_renewed(storage: Storage) -> None:
    storage.put("/sentinel2-l2/x", b"data")
    url = f"{storage.server.url}/sentinel2-l2/x"
    with Client(allow_internal=True, backoff=0.01) as client:
        assert client.read(url) == client.read(url) == b"data"
        assert storage.tokens == 1
    storage.minutes = 0
    with Client(allow_internal=True, backoff=0.01) as client:
        assert client.read(url) == client.read(url) == b"data"
        assert storage.tokens == 3


def test_only_its_own_storage_is_signed() -> None:
    asked = []

    def read_json(url: str, **options: object) -> dict[str, str]:
        asked.append((url, options))
        return {"token": SECRET, "msft:expiry": "2999-01-01T00:00:00Z"}

    signed = Signatures(read_json).signed
    assert signed(PLACE) == f"{PLACE}?{SECRET}"
    for other in (
        f"{PLACE}?sig=mine",
        PLACE.replace("https", "http"),
        PLACE.replace("sentinel2l2a01", "other"),
        PLACE.replace(".net", ".net.example"),
        "https://example.com/https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/",
    ):
        assert signed(other) == other
    (question,) = asked
    assert question[0].endswith("/api/sas/v1/token/sentinel2l2a01/sentinel2-l2")


@pytest.mark.parametrize(
    "answer",
    [
        {"token": "x y\n" * 9, "msft:expiry": "2999-01-01T00:00:00Z"},
        {"token": SECRET, "msft:expiry": "soon"},
        [],
        {},
    ],
)
def test_answers_without_a_token(answer: object) -> None:
    with pytest.raises(RemoteError, match="without a token"):
        Signatures(lambda *_, **__: answer).signed(PLACE)


def test_a_refusal_is_one_line_without_the_signature(storage: Storage) -> None:
    storage.server.routes["/sentinel2-l2/x"] = lambda request: send(request, 403, b"")
    with Client(allow_internal=True) as client, pytest.raises(RemoteError) as error:
        client.read(f"{storage.server.url}/sentinel2-l2/x")
    assert "403 Forbidden" in str(error.value)
    assert "S3CRET" not in str(error.value)
