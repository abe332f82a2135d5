"""Lists of products: text files and STAC ItemCollections, from people and from strangers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from geolulc.errors import ProductError
from geolulc.products import list_products


def _item(assets=None, self_href=None, **others):
    links = [{"rel": "self", "href": self_href}] if self_href else []
    assets = {key: {"href": href} for key, href in (assets or {}).items()}
    return {"type": "Feature", "id": "S2A_32TPS", "assets": assets, "links": links, **others}


def _collection(folder, *items):
    path = folder / "scenes.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}))
    return path


def test_what_is_no_list_stays(tmp_path):
    paths = [tmp_path / "a.SAFE", tmp_path / "b.zip", Path("c")]
    assert list_products(paths) == paths


def test_lines(tmp_path):
    path = tmp_path / "scenes.txt"
    path.write_text(
        "\ufeff# of June\na.SAFE\n\n  sub/b.zip  \r\n/data/c d.SAFE\n", encoding="utf-8"
    )
    assert list_products([tmp_path / "x", path]) == [
        tmp_path / "x",
        tmp_path / "a.SAFE",
        tmp_path / "sub/b.zip",
        Path("/data/c d.SAFE"),
    ]


@pytest.mark.parametrize(
    ("assets", "self_href", "expected"),
    [
        ({"B02": "./X.SAFE/GRANULE/a/IMG_DATA/R10m/x_B02_10m.jp2"}, None, "{0}/X.SAFE"),
        ({"B02": "file:///data/%C3%A9%20a/X.SAFE/GRANULE/x.jp2"}, None, "/data/é a/X.SAFE"),
        ({"thumbnail": "/a/t.jpg", "product": "/a/X.zip"}, None, "/a/X.zip"),
        ({"B02": "/other/Y.SAFE/b.jp2", "safe-manifest": "/a/X.SAFE/m"}, None, "/a/X.SAFE"),
        ({"product_metadata": "sub/MTD_MSIL2A.xml"}, None, "{0}/sub"),
        ({"product": "https://x.org/X.zip", "B02": "X.SAFE/b.jp2"}, None, "{0}/X.SAFE"),
        ({"B02": "b.jp2"}, "file:///data/X.SAFE/item.json", "/data/X.SAFE"),
        ({"product": "X.zip"}, "items/a.json", "{0}/items/X.zip"),
        ({}, "/data/X.SAFE", "/data/X.SAFE"),
    ],
)
def test_items(tmp_path, assets, self_href, expected):
    path = _collection(tmp_path, _item(assets, self_href))
    assert list_products([path]) == [Path(expected.format(tmp_path))]


def test_a_single_item_is_a_list_of_one(tmp_path):
    path = tmp_path / "item.geojson"
    path.write_text(json.dumps(_item({"product": "X.zip"})))
    assert list_products([path]) == [tmp_path / "X.zip"]


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.txt", "", "no path in it"),
        ("a.txt", "# nothing\n\n", "no path in it"),
        ("a.txt", "https://x.org/X.SAFE", "https://x.org/X.SAFE"),
        ("a.txt", b"\xff\xfe\x00", "no UTF-16"),
        ("a.json", "{", "no JSON"),
        ("a.json", "[" * 100_000, "no JSON"),
        ("a.json", "[]", "a list"),
        ("a.json", "{}", "the type None"),
        ("a.json", '{"type": "FeatureCollection", "features": []}', "no item"),
        ("a.json", '{"type": "FeatureCollection", "features": [3]}', "feature 0 is a int"),
        ("a.json", '{"type": "FeatureCollection", "features": {"a": 1}}', "the type"),
        ("a.json", json.dumps(_item()), "no href of a product"),
        ("a.json", json.dumps(_item() | {"assets": [1], "links": {"href": 3}}), "no href"),
        ("a.json", json.dumps(_item({"product": "s3://b/X.SAFE"})), "not local, as s3://b/X.SAFE"),
        ("a.json", json.dumps(_item({"product": "file://host/X.SAFE"})), "not local"),
        ("a.json", json.dumps(_item({"product": "http://[x/X.SAFE"})), "not local"),
        ("a.json", json.dumps(_item({"product": "X\0.SAFE"})), "not local"),
    ],
)
def test_what_cannot_be_used(tmp_path, name, content, found):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ProductError) as raised:
        list_products([path])
    assert found in raised.value.found
    assert str(path) in raised.value.subject
    assert "\n" not in str(raised.value)


def test_no_such_list(tmp_path):
    with pytest.raises(ProductError, match="No such file"):
        list_products([tmp_path / "no.txt"])
