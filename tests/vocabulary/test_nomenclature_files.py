"""Nomenclatures of users, from TOML and from QGIS styles."""

from __future__ import annotations

from pathlib import Path

import pytest

from geolulc.errors import ParameterError
from geolulc.nomenclature import BUILT_IN, nomenclature
from geolulc.nomenclature_files import as_toml, find_nomenclature
from geolulc.outputs.legends import class_entries
from geolulc.outputs.qgis_styles import paletted_style

MINE = """
id = "mine"
title = "Felder – 田"
[[classes]]
name = "Wheat"
code = 3
color = "#ffcc00"
[[classes]]
name = "🌾 рис"
code = 254
color = "#00ccff"
description = "With a \\"quote\\" and a tab\\t"
"""


@pytest.mark.parametrize("identifier", BUILT_IN)
def test_what_is_written_is_read(identifier: str, tmp_path: Path) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(as_toml(nomenclature(identifier)), encoding="utf-8")
    assert find_nomenclature(path) == nomenclature(identifier)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_of_a_user(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE.replace("\n", "\r\n"), encoding=encoding)
    found = find_nomenclature(path)
    assert found.names == ("Wheat", "🌾 рис")
    assert [c.code for c in found.classes] == [3, 254]
    assert find_nomenclature(tmp_path / "mine.toml") == found
    path.write_text(as_toml(found), encoding="utf-8")
    assert find_nomenclature(path) == found


def test_the_style_of_a_map_has_its_classes(tmp_path: Path) -> None:
    classes = nomenclature("worldcover")
    path = tmp_path / "map.qml"
    path.write_text(paletted_style(class_entries(classes.classes)), encoding="utf-8")
    assert find_nomenclature(path).agrees(classes)
    assert [c.color for c in find_nomenclature(path).classes] == [c.color for c in classes.classes]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "id = ", "mine|Invalid value"),
        ("a.toml", "x = 1", "id: nothing"),
        ("a.toml", "a = " + "[" * 5000, "a.toml: found"),
        ("a.qml", "<qgis></qgis>", "classes"),
        ("a.qml", "<qgis>", "a.qml: found"),
        ("a.qml", '<q><paletteEntry value="x" color="#fff" label="a"/></q>', "a.qml: found"),
        ("a.qml", '<!DOCTYPE q [<!ENTITY a "b">]><q>&a;</q>', "a.qml: found"),
    ],
)
def test_what_is_no_nomenclature(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ParameterError, match=message):
        find_nomenclature(path)


def test_no_file_and_no_name() -> None:
    with pytest.raises(ParameterError, match="expected a nomenclature: a TOML file"):
        find_nomenclature("nothing")
