"""A kind of product is one row of a table; all that looks for products goes through it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_product import make_product

from geolulc.cli import main
from geolulc.errors import ProductError
from geolulc.products import Door, describe_scene, doors, find_door, list_products, open_scene


def test_products_of_copernicus(tmp_path):
    folder, path = make_product(tmp_path / "a"), make_product(tmp_path / "b", zipped="stored")
    for product in (folder, path, folder.parent, folder / "MTD_MSIL2A.xml"):
        assert open_scene(product).name == folder.stem
        assert describe_scene(product)["name"] == folder.stem
    assert find_door(folder).kind == find_door(path).kind == "Sentinel-2 product"
    assert find_door(tmp_path) is None


def test_what_nobody_recognises_is_explained(tmp_path):
    with pytest.raises(ProductError, match="nothing there"):
        open_scene(tmp_path / "no")
    with pytest.raises(ProductError, match=r"no MTD_MSIL2A\.xml or MTD_MSIL1C\.xml"):
        describe_scene(tmp_path)


@pytest.fixture
def other(monkeypatch) -> Door:
    """A kind of product of which each is one file, that has the name of the SAFE beside it."""

    def beside(path: Path) -> Path:
        return path.with_name(path.read_text())

    door = Door(
        "other product",
        lambda path: path.suffix == ".other",
        lambda path: doors.open_product(beside(path)),
        lambda path, *, verify=False: doors.describe_product(beside(path), verify=verify),
        lambda path: path if path.suffix == ".other" else None,
    )
    monkeypatch.setattr(doors, "DOORS", (door, *doors.DOORS))
    return door


def test_another_row(tmp_path, other, capsys, monkeypatch):
    product = make_product(tmp_path)
    path = tmp_path / "x.other"
    path.write_text(product.name)
    assert open_scene(path).name == product.stem
    item = {
        "type": "Feature",
        "id": "x",
        "assets": {"product": {"href": "x.other"}, "more": {"href": product.name}},
    }
    (tmp_path / "item.json").write_text(json.dumps(item))
    assert list_products([tmp_path / "item.json"]) == [path]
    monkeypatch.setattr("sys.argv", ["geolulc", "info", str(path), "--json"])
    with pytest.raises(SystemExit):
        main()
    shown = json.loads(capsys.readouterr().out)
    assert (shown["kind"], shown["name"]) == ("other product", product.stem)
