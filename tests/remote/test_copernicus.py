"""Products of Copernicus by place and by name, from an OData service that asks for tokens."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import shapely
from blake3 import blake3
from click.testing import CliRunner
from made_server import Request, Server, send, serving

from geolulc.cli import cli
from geolulc.errors import OutputError, ParameterError, RemoteError
from geolulc.polygons.area import area_in_degrees
from geolulc.remote.client import Client
from geolulc.remote.copernicus import (
    Service,
    find_by_name,
    parse_dates,
    search_products,
)
from geolulc.remote.fetching import fetch_products, list_names

NAME = "S2B_MSIL2A_20240625T101031_N0510_R022_T32TPS_20240625T151031"
AGAIN = "S2B_MSIL2A_20240625T101031_N0511_R022_T32TPS_20250101T000000"
OTHER = "S2A_MSIL2A_20240627T101031_N0510_R022_T32TPS_20240627T151031"
L1C = "S2B_MSIL1C_20240625T101031_N0510_R022_T32TPS_20240625T121031"
TOKEN_PATH = "/auth/realms/CDSE/protocol/openid-connect/token"  # noqa: S105
HERE = {
    "type": "Polygon",
    "coordinates": [[[11, 46], [12, 46], [12, 47], [11, 47], [11, 46]]],
}


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Copernicus:
    """The service; tokens are good for ``uses`` downloads."""

    def __init__(self, server: Server) -> None:
        self.server, self.tokens, self.uses = server, 0, 100
        self.left: dict[str, int] = {}
        self.products: list[dict[str, Any]] = []
        self.page = 100
        server.routes["/odata/v1/Products"] = self._list
        server.routes[TOKEN_PATH] = self._token

    def add(self, name: str, data: bytes = b"", **changes: Any) -> str:
        """Its path."""
        identity = f"00000000-0000-0000-0000-{len(self.products):012}"
        year, month, day = name[11:15], name[15:17], name[17:19]
        self.products.append(
            {
                "Id": identity,
                "Name": f"{name}.SAFE",
                "ContentLength": len(data) or 5,
                "Online": True,
                "ContentDate": {"Start": f"{year}-{month}-{day}T10:10:31.024000Z"},
                "Checksum": [{"Algorithm": "MD5", "Value": md5(data)}],
                "Attributes": [{"Name": "cloudCover", "Value": 12.5}],
                "GeoFootprint": HERE,
                **changes,
            }
        )
        path = f"/odata/v1/Products({identity})/$value"
        self.server.files[path] = data

        def guarded(request: Request) -> None:
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            if self.left.get(token, 0) <= 0:
                return send(request, 401, b"")
            self.left[token] -= 1
            faults = self.server.faults.get("DATA")
            return self.server._send_file(request, data, faults.pop(0) if faults else None)

        self.server.routes[path] = guarded
        return path

    def _list(self, request: Request) -> dict[str, Any]:
        condition = request.query["$filter"][0]
        skip = int(request.query.get("$skip", ["0"])[0])
        found = self.products
        if named := re.search(r" and Name eq '([^']*)'", condition):
            found = [p for p in found if p["Name"] == named[1]]
        if begins := re.search(r"startswith\(Name,'([^']*)'\)", condition):
            found = [p for p in found if p["Name"].startswith(begins[1])]
        answer: dict[str, Any] = {"value": found[skip : skip + self.page]}
        if skip + self.page < len(found):
            query = request.handler.path.partition("&$skip")[0]
            answer["@odata.nextLink"] = f"{self.server.url}{query}&$skip={skip + self.page}"
        return answer

    def _token(self, request: Request) -> Any:
        if "username=me" not in request.body or "password=SECRET" not in request.body:
            return send(request, 401, b"")
        self.tokens += 1
        token = f"token-{self.tokens}"
        self.left[token] = self.uses
        return {"access_token": token, "expires_in": 600, "refresh_token": "x"}


@pytest.fixture
def copernicus(monkeypatch) -> Iterator[Copernicus]:
    monkeypatch.setenv("CDSE_USERNAME", "me")
    monkeypatch.setenv("CDSE_PASSWORD", "SECRET")
    with serving() as server:
        yield Copernicus(server)


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(allow_internal=True, timeouts=(5.0, 0.3), backoff=0.01) as made:
        yield made


def at(copernicus: Copernicus) -> Service:
    return Service.at(copernicus.server.url)


def test_the_question_of_a_search(copernicus, client):
    copernicus.add(NAME)
    area = shapely.box(11.2, 46.4, 11.5, 46.6)
    days = parse_dates("2024-06-01/2024-06-30")
    found = search_products(client, area, days, max_cloud=20, service=at(copernicus))
    assert [p.name for p in found] == [NAME]
    assert (found[0].cloud, found[0].start.isoformat()) == (
        12.5,
        "2024-06-25T10:10:31.024000+00:00",
    )
    asked = copernicus.server.asked[0].query
    condition = asked["$filter"][0]
    for part in (
        "Collection/Name eq 'SENTINEL-2'",
        "att/Name eq 'productType' and att/OData.CSDL.StringAttribute/Value eq 'S2MSI2A')",
        "att/Name eq 'cloudCover' and att/OData.CSDL.DoubleAttribute/Value le 20.00)",
        "ContentDate/Start ge 2024-06-01T00:00:00.000Z",
        "ContentDate/Start lt 2024-07-01T00:00:00.000Z",
        "OData.CSDL.Intersects(area=geography'SRID=4326;POLYGON((11.",
    ):
        assert part in condition
    assert asked["$expand"] == ["Attributes"]


def test_the_area_of_a_question_has_few_corners(copernicus, client):
    circle = shapely.Point(11.5, 46.5).buffer(0.2, quad_segs=2000)
    search_products(client, circle, parse_dates("2024-06-25"), service=at(copernicus))
    condition = copernicus.server.asked[0].query["$filter"][0]
    assert condition.split("POLYGON((")[1].split("))")[0].count(",") < 60


def test_an_area_on_both_sides_of_the_180th_meridian(copernicus, client):
    """Two questions, none of which goes around the globe; a product of both is listed once."""
    places = {
        NAME: [[[179, -17], [180, -17], [180, -16], [179, -16], [179, -17]]],
        OTHER: [[[-180, -17], [-179, -17], [-179, -16], [-180, -16], [-180, -17]]],
        OTHER.replace("TPS", "TPT"): [[[20, -17], [21, -17], [21, -16], [20, -16], [20, -17]]],
    }
    for name, ring in places.items():
        copernicus.add(name, GeoFootprint={"type": "Polygon", "coordinates": ring})
    area = area_in_degrees("179.5,-17,-179.5,-16.5")
    found = search_products(
        client, area, parse_dates("2024-06-01/2024-06-30"), service=at(copernicus)
    )
    assert [product.name for product in found] == [NAME, OTHER]
    asked = [request.query["$filter"][0] for request in copernicus.server.asked]
    outlines = [shapely.from_wkt(text.split("4326;")[1].split("')")[0]).bounds for text in asked]
    assert outlines == [(179.5, -17, 180, -16.5), (-180, -17, -179.5, -16.5)]


def test_pages_reprocessed_and_elsewhere(copernicus, client):
    """All pages; the newest of a datatake; a footprint that only meets the hull is left out."""
    copernicus.page = 2
    for name in (NAME, AGAIN, OTHER):
        copernicus.add(name)
    copernicus.add("S2A_MSIL2A_20240628T101031_N0510_R022_T32TPT_20240628T151031", GeoFootprint={
        "type": "Polygon", "coordinates": [[[20, 46], [21, 46], [21, 47], [20, 47], [20, 46]]],
    })  # fmt: skip
    copernicus.add("S2A_OPER_OLD", ContentDate={"Start": "2015-06-25T10:10:31Z"})
    area = shapely.union(shapely.box(11.2, 46.4, 11.5, 46.6), shapely.box(25, 46.4, 26, 46.6))
    days = parse_dates("2024-06-01/2024-06-30")
    found = search_products(client, area, days, service=at(copernicus))
    assert [p.name for p in found] == [AGAIN, OTHER]
    assert len(copernicus.server.asked) == 3
    with pytest.raises(ParameterError, match="more than 3 products"):
        search_products(client, area, days, service=at(copernicus), most=3)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"value": "x"},
        {"value": [3]},
        {"value": [{}]},
        {"value": [{"Id": "../../etc", "Name": NAME, "ContentLength": 3,
                    "ContentDate": {"Start": "2024-06-25T10:10:31Z"}}]},
        {"value": [{"Id": "0" * 36, "Name": NAME, "ContentLength": 10**15,
                    "ContentDate": {"Start": "2024-06-25T10:10:31Z"}}]},
    ],
)  # fmt: skip
def test_answers_that_are_no_products(answer, copernicus, client):
    copernicus.server.routes["/odata/v1/Products"] = lambda _: answer
    with pytest.raises(RemoteError, match="as the OData"):
        find_by_name(client, NAME, service=at(copernicus))


@pytest.mark.parametrize("following", ["http://127.0.0.2:1/x", "{url}/odata/v1/Products?page=1", 3])
def test_pages_that_lead_away_or_in_circles(following, copernicus, client):
    copernicus.add(NAME)
    value = copernicus.products
    link = following.format(url=copernicus.server.url) if isinstance(following, str) else following
    copernicus.server.routes["/odata/v1/Products"] = lambda _: {
        "value": value,
        "@odata.nextLink": link,
    }
    with pytest.raises(RemoteError, match=r"pages that never end|elsewhere"):
        find_by_name(client, NAME, service=at(copernicus))


def test_the_other_level_of_a_product(copernicus, client):
    copernicus.add(NAME)
    copernicus.add(L1C)
    copernicus.add(L1C.replace("N0510", "N0511"))
    copernicus.add(L1C.replace("T32TPS", "T32TPT"))
    found = find_by_name(client, f"{NAME}.SAFE", level="L1C", service=at(copernicus))
    assert found.name == L1C.replace("N0510", "N0511")
    assert find_by_name(client, L1C, service=at(copernicus)).name == L1C
    with pytest.raises(RemoteError, match="no such product of Level-1C"):
        find_by_name(client, OTHER, level="L1C", service=at(copernicus))
    with pytest.raises(ParameterError, match="no name of a Sentinel-2 product"):
        find_by_name(client, "x') or (1 eq 1", service=at(copernicus))


DATA = os.urandom(900_000)


def test_fetch_resumes_and_compares(copernicus, client, tmp_path):
    copernicus.add(NAME, DATA)
    copernicus.add(OTHER, DATA[:500_000])
    copernicus.server.faults["DATA"] = ["cut", "stall", "cut"]
    told = []
    results = fetch_products(
        client, [NAME, f"{OTHER}.SAFE"], tmp_path, service=at(copernicus),
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert [(r.name, r.there, r.error) for r in results] == [
        (NAME, False, None),
        (OTHER, False, None),
    ]
    assert (tmp_path / f"{NAME}.zip").read_bytes() == DATA
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([f"{NAME}.zip", f"{OTHER}.zip"])
    assert copernicus.tokens == 1
    assert told[-1] == (1, 2)
    # again: nothing is downloaded
    copernicus.server.asked.clear()
    (again,) = fetch_products(client, [NAME], tmp_path, service=at(copernicus))
    assert again.there
    assert not any("value" in path for path in copernicus.server.paths())


def test_a_later_run_goes_on(copernicus, client, tmp_path):
    copernicus.add(NAME, DATA)
    part = tmp_path / f".{NAME}.zip.{md5(DATA)[:12]}.part"
    part.write_bytes(DATA[:700_000])
    stale = tmp_path / f".{NAME}.zip.0123456789ab.part"
    stale.write_bytes(b"of another version")
    (result,) = fetch_products(client, [NAME], tmp_path, service=at(copernicus))
    assert result.path is not None
    assert result.path.read_bytes() == DATA
    assert copernicus.server.asked[-1].headers["range"] == "bytes=700000-"
    assert [p.name for p in tmp_path.iterdir()] == [f"{NAME}.zip"]


def test_a_token_that_ends_meanwhile(copernicus, client, tmp_path):
    copernicus.add(NAME, DATA)
    copernicus.uses = 1
    copernicus.server.faults["DATA"] = ["cut"]
    (result,) = fetch_products(client, [NAME], tmp_path, service=at(copernicus))
    assert result.error is None
    assert copernicus.tokens == 2


def test_a_wrong_checksum(copernicus, client, tmp_path):
    copernicus.add(NAME, DATA, Checksum=[{"Algorithm": "MD5", "Value": "0" * 32}])
    copernicus.add(OTHER, DATA)
    bad, good = fetch_products(client, [NAME, OTHER], tmp_path, service=at(copernicus))
    assert "a damaged download (MD5" in str(bad.error)
    assert good.error is None
    assert [p.name for p in tmp_path.iterdir()] == [f"{OTHER}.zip"]


def test_other_checksums(copernicus, client, tmp_path):
    blake = [{"Algorithm": "BLAKE3", "Value": blake3(DATA).hexdigest()}]
    copernicus.add(NAME, DATA, Checksum=blake)
    copernicus.add(OTHER, DATA, Checksum=[{"Algorithm": "CRC9", "Value": "1"}])
    good, none = fetch_products(client, [NAME, OTHER], tmp_path, service=at(copernicus))
    assert good.error is None
    assert "checksums of none" in str(none.error)


@pytest.mark.parametrize(
    ("fault", "found"),
    [(403, "403"), (404, "404"), (500, "500"), (429, "429"), ("garbage", "not HTTP")],
)
def test_faults_leave_no_product(fault, found, copernicus, client, tmp_path):
    path = copernicus.add(NAME, DATA)
    copernicus.server.faults[path] = [fault] * 10
    (result,) = fetch_products(client, [NAME], tmp_path, service=at(copernicus))
    assert found in str(result.error)
    assert not (tmp_path / f"{NAME}.zip").exists()


def test_credentials(copernicus, client, tmp_path, monkeypatch):
    copernicus.add(NAME, DATA)
    monkeypatch.setenv("CDSE_PASSWORD", "WRONG-SECRET")
    (result,) = fetch_products(client, [NAME], tmp_path, service=at(copernicus))
    assert "401 Unauthorized" in str(result.error)
    assert "SECRET" not in str(result.error)
    monkeypatch.delenv("CDSE_PASSWORD")
    netrc = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(netrc))
    with pytest.raises(ParameterError, match=r"none; expected CDSE_USERNAME and CDSE_PASSWORD"):
        fetch_products(client, [NAME], tmp_path, service=at(copernicus))
    netrc.write_text("machine 127.0.0.1 login me password SECRET\n")
    (result,) = fetch_products(client, [NAME], tmp_path, service=at(copernicus))
    assert result.error is None
    netrc.write_text("machine 127.0.0.1 nonsense SECRET\n")
    with pytest.raises(ParameterError, match="cannot be read") as error:
        fetch_products(client, [NAME], tmp_path, service=at(copernicus))
    assert "SECRET" not in str(error.value)


def test_what_is_not_replaced(copernicus, client, tmp_path):
    copernicus.add(NAME, DATA)
    copernicus.add(OTHER, DATA, Online=False)
    (tmp_path / f"{NAME}.zip").write_text("mine")
    mine, offline = fetch_products(client, [NAME, OTHER], tmp_path, service=at(copernicus))
    assert "another file than the product" in str(mine.error)
    assert "long-term archive" in str(offline.error)
    assert (tmp_path / f"{NAME}.zip").read_text() == "mine"
    with pytest.raises(OutputError, match="no folder"):
        fetch_products(client, [NAME], tmp_path / "none", service=at(copernicus))


@pytest.mark.parametrize("text", ["", "2024", "2024-13-01", "2024-02-02/2024-01-01", "a/b/c"])
def test_dates(text):
    with pytest.raises(ParameterError, match="no period of days"):
        parse_dates(text)


def test_the_commands(copernicus, tmp_path):
    """What search prints, fetch reads."""
    url = copernicus.server.url
    copernicus.add(NAME, DATA)
    search = ["search", "--aoi", "11.2,46.4,11.5,46.6", "--dates", "2024-06-25"]
    service = ["--service", url, "--allow-internal"]
    run = CliRunner().invoke(cli, [*search, *service], catch_exceptions=False)
    assert run.stdout == f"{NAME}  2024-06-25  cloud  12 %       1 MB\n"
    listed = tmp_path / "found.txt"
    listed.write_text(run.stdout)
    assert list_names([str(listed), OTHER]) == [NAME, OTHER]
    out = tmp_path / "scenes"
    out.mkdir()
    fetch = ["fetch", str(listed), "--out", str(out), "--json", "-q", *service]
    run = CliRunner().invoke(cli, fetch, catch_exceptions=False)
    assert json.loads(run.stdout) == [
        {"name": NAME, "path": str(out / f"{NAME}.zip"), "there": False, "error": None}
    ]
    run = CliRunner().invoke(cli, [*search, "--json", *service], catch_exceptions=False)
    assert json.loads(run.stdout)[0]["bytes"] == len(DATA)
    refused = CliRunner().invoke(cli, [*search, "--service", url])
    assert isinstance(refused.exception, RemoteError)
    assert "internal address 127.0.0.1" in str(refused.exception)
