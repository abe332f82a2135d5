"""Answers of Copernicus and of a STAC API, as files that are served on loopback."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import shapely
from made_server import serving

PRODUCT = "S2B_MSIL2A_20240625T101031_N0510_R022_T32TPS_20240625T151031"
_PLACE = shapely.geometry.mapping(shapely.box(11.0, 46.0, 12.0, 47.0))
_IDENTITY = "00000000-0000-0000-0000-000000000001"
_ZIP = b"PK what is served as a zip" * 100


def write_copernicus(folder: Path) -> None:
    """A list of one product, a token, the product, and a folder for it."""
    product = {
        "Id": _IDENTITY,
        "Name": f"{PRODUCT}.SAFE",
        "ContentLength": len(_ZIP),
        "Online": True,
        "ContentDate": {"Start": "2024-06-25T10:10:31.024000Z"},
        "Checksum": [{"Algorithm": "MD5", "Value": hashlib.md5(_ZIP).hexdigest()}],  # noqa: S324
        "Attributes": [{"Name": "cloudCover", "Value": 12.5}],
        "GeoFootprint": _PLACE,
    }
    (folder / "out").mkdir()
    _write(folder, products={"value": [product]}, token={"access_token": "x", "expires_in": 600})
    (folder / "answers/product.zip").write_bytes(_ZIP)


def write_stac_api(folder: Path) -> None:
    """A landing page and one page of Items."""
    api = "https://api.stacspec.org/v1.0.0"
    landing = {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "api",
        "description": "x",
        "conformsTo": [f"{api}/core", f"{api}/item-search"],
        "links": [
            {"rel": "self", "href": "{url}/"},
            {"rel": "root", "href": "{url}/"},
            {"rel": "search", "href": "{url}/search", "method": "POST"},
        ],
    }
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "item",
        "collection": "c",
        "geometry": _PLACE,
        "bbox": [11.0, 46.0, 12.0, 47.0],
        "links": [],
        "properties": {"datetime": "2024-06-25T10:10:31Z", "eo:cloud_cover": 5.0},
        "assets": {"red": {"href": "https://example.com/B04.tif"}},
    }
    page = {"type": "FeatureCollection", "features": [item], "links": []}
    _write(folder, landing=landing, page=page)


def _write(folder: Path, **answers: Any) -> None:
    (folder / "answers").mkdir()
    for name, answer in answers.items():
        (folder / f"answers/{name}.json").write_text(json.dumps(answer))


@contextlib.contextmanager
def _serve(folder: Path, names: Mapping[str, str]) -> Iterator[str]:
    with serving() as server:
        for path, name in names.items():
            data = (folder / "answers" / name).read_bytes()
            server.files[path] = data.replace(b"{url}", server.url.encode())
        yield server.url


@contextlib.contextmanager
def serve_copernicus(folder: Path) -> Iterator[str]:
    """Answers every search with the list, and whoever has an account with the product."""
    account = {"CDSE_USERNAME": "me", "CDSE_PASSWORD": "x"}
    os.environ |= account
    token = "/auth/realms/CDSE/protocol/openid-connect/token"  # noqa: S105
    products = "/odata/v1/Products"
    names = {products: "products.json", token: "token.json"}
    names[f"{products}({_IDENTITY})/$value"] = "product.zip"
    try:
        with _serve(folder, names) as url:
            yield url
    finally:
        for name in account:
            del os.environ[name]


@contextlib.contextmanager
def serve_stac(folder: Path) -> Iterator[str]:
    """Answers every search with the page."""
    with _serve(folder, {"/": "landing.json", "/search": "page.json"}) as url:
        yield url
