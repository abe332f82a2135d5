"""Items of a STAC API with pages, on loopback, into a file that ``geolulc map`` reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

import pytest
import shapely
from click.testing import CliRunner
from made_server import Request, Server, serving

from geolulc.cli import cli
from geolulc.errors import GeolulcError, ParameterError, RemoteError
from geolulc.products import list_products
from geolulc.remote.client import Client
from geolulc.remote.stac import search_items

AREA = shapely.box(11.2, 46.4, 11.5, 46.6)
DAYS = date(2024, 6, 1), date(2024, 6, 30)


def item(number: int, cloud: float | None = 5.0) -> dict:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"item-{number}",
        "collection": "c",
        "geometry": shapely.geometry.mapping(AREA),
        "bbox": list(AREA.bounds),
        "links": [],
        "properties": {
            "datetime": "2024-06-25T10:10:31Z",
            **({} if cloud is None else {"eo:cloud_cover": cloud}),
        },
        "assets": {"red": {"href": f"https://example.com/{number}/B04.tif"}},
    }


@pytest.fixture
def api() -> Iterator[Server]:
    """Its pages have two Items each."""
    with serving() as server:
        items = [item(0), item(1, 80.0), item(2, None), item(3), item(4)]

        def search(request: Request) -> dict:
            asked = json.loads(request.body)
            start = asked.get("token", 0)
            links = []
            if start + 2 < len(items):
                link = {"rel": "next", "method": "POST", "href": f"{server.url}/search"}
                links = [{**link, "body": {**asked, "token": start + 2}}]
            return {
                "type": "FeatureCollection",
                "features": items[start : start + 2],
                "links": links,
            }

        server.routes["/"] = lambda _: {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "api",
            "description": "x",
            "conformsTo": [
                "https://api.stacspec.org/v1.0.0/core",
                "https://api.stacspec.org/v1.0.0/item-search",
            ],
            "links": [
                {"rel": "self", "href": f"{server.url}/"},
                {"rel": "root", "href": f"{server.url}/"},
                {
                    "rel": "search",
                    "href": f"{server.url}/search",
                    "method": "POST",
                    "type": "application/geo+json",
                },
            ],
        }
        server.routes["/search"] = search
        yield server


def client() -> Client:
    return Client(allow_internal=True, timeouts=(5.0, 1.0), backoff=0.01)


def test_all_pages_by_cloud(api):
    found = search_items(client(), f"{api.url}/", "c", AREA, DAYS, max_cloud=20)
    assert [i["id"] for i in found["features"]] == ["item-0", "item-2", "item-3", "item-4"]
    asked = json.loads(api.asked[1].body)
    assert asked["collections"] == ["c"]
    assert asked["datetime"] == "2024-06-01T00:00:00Z/2024-06-30T23:59:59Z"
    assert shapely.geometry.shape(asked["intersects"]).equals(AREA)
    with pytest.raises(ParameterError, match="more than 2 Items"):
        search_items(client(), f"{api.url}/", "c", AREA, DAYS, most=2)


@pytest.mark.parametrize("fault", [403, 404, "garbage"])
@pytest.mark.parametrize("path", ["/", "/search"])
def test_faults(fault, path, api):
    api.faults[path] = [fault] * 9
    with pytest.raises(RemoteError) as error:
        search_items(client(), f"{api.url}/", "c", AREA, DAYS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("answer", [b"[]", b"{", b"<html>", b'{"type": "Catalog"}', b"\xff"])
def test_what_is_no_api(answer, api):
    api.routes["/"] = lambda _: answer
    with pytest.raises(GeolulcError):
        search_items(client(), f"{api.url}/", "c", AREA, DAYS)


def test_internal_apis_are_refused_unless_asked(api):
    with pytest.raises(RemoteError, match="internal address"):
        search_items(Client(), f"{api.url}/", "c", AREA, DAYS)
    assert api.asked == []


def test_the_command(api, tmp_path):
    out = tmp_path / "items.json"
    arguments = ["search", "--stac", f"{api.url}/", "--collection", "c", "--out", str(out),
                 "--aoi", "11.2,46.4,11.5,46.6", "--dates", "2024-06-01/2024-06-30"]  # fmt: skip
    run = CliRunner().invoke(cli, [*arguments, "--allow-internal"], catch_exceptions=False)
    assert run.stdout.strip() == str(out)
    assert list_products([out]) == [out / str(n) for n in range(5)]
    again = CliRunner().invoke(cli, [*arguments, "--allow-internal"])
    assert "it exists" in str(again.exception)
    run = CliRunner().invoke(cli, [*arguments, "--allow-internal", "--overwrite"])
    assert run.exit_code == 0
    assert CliRunner().invoke(cli, arguments[:3] + arguments[7:]).exit_code == 2


def test_an_answer_names_no_file_of_ours(api):
    api.routes["/search"] = lambda _: {
        "type": "FeatureCollection",
        "features": [
            {**item(7), "assets": {"red": {"href": href}, "nir": {"href": "HTTPS://x.org/B08.tif"}}}
            for href in ("file:///etc/passwd", "/etc/passwd", "../B04.tif", "/vsicurl/http://x")
        ],
        "links": [],
    }
    found = search_items(client(), f"{api.url}/", "c", AREA, DAYS)
    assert [list(i["assets"]) for i in found["features"]] == [["nir"]] * 4


def test_what_is_found_is_mapped(api, tmp_path):
    arguments = ["map", "--stac", f"{api.url}/", "--collection", "c", "--max-cloud", "20",
                 "--aoi", "11.2,46.4,11.5,46.6", "--out", str(tmp_path / "maps"),
                 "--allow-internal"]  # fmt: skip
    here = [
        {**item(n, cloud), "assets": {"red": {"href": f"{api.url}/{n}/B04.tif"}}}
        for n, cloud in ((0, 5.0), (1, 80.0), (2, None))
    ]
    api.routes["/search"] = lambda _: {"type": "FeatureCollection", "features": here, "links": []}
    run = CliRunner().invoke(cli, [*arguments, "--dates", "2024-06-01/2024-06-30"])
    # their images are not there: each that is asked for is named
    assert run.exit_code == 1
    told = [f"{api.url}/{n}/B04.tif" in run.output for n in range(3)]
    assert told == [True, False, True]
    assert "2 of 2 scenes failed" in run.output
    api.routes["/search"] = lambda _: {"type": "FeatureCollection", "features": [], "links": []}
    run = CliRunner().invoke(cli, [*arguments, "--dates", "2024-06-01"])
    assert "no Item; expected at least one" in str(run.exception)
    assert CliRunner().invoke(cli, arguments).exit_code == 2  # no dates
    assert CliRunner().invoke(cli, [*arguments, "--dates", "2024-06-01", "x.SAFE"]).exit_code == 2
    assert CliRunner().invoke(cli, ["map", "--out", "x.tif"]).exit_code == 2
