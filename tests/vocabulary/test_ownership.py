"""What an output may replace: nothing that is read, and files of others only if said twice."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from geolulc.errors import OutputError
from geolulc.ownership import ANY, OWN, being_read, is_own_file, reading
from geolulc.staging import require_free, staged


@pytest.fixture
def area(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "area.gpkg"
    path.parent.mkdir()
    path.write_text("precious")
    return path


def other_names(area: Path) -> dict[str, Path]:
    folder = area.parents[1]
    (folder / "soft.gpkg").symlink_to(area)
    os.link(area, folder / "hard.gpkg")
    (folder / "folder").symlink_to(area.parent)
    return {
        "itself": area,
        "the long way": area.parent / ".." / "in" / "area.gpkg",
        "a link": folder / "soft.gpkg",
        "a hard link": folder / "hard.gpkg",
        "through a linked folder": folder / "folder" / "area.gpkg",
    }


@pytest.mark.parametrize(
    "name", ["itself", "the long way", "a link", "a hard link", "through a linked folder"]
)
def test_an_input_is_no_output_by_any_name(area: Path, name: str) -> None:
    names = other_names(area)
    for read, written in ((area, names[name]), (names[name], area)):
        side = written.with_suffix(".tif")
        with reading([read]):
            for refuse in (
                lambda w=written: require_free([w], overwrite=ANY),
                lambda s=side, w=written: staged([w, s], overwrite=ANY).__enter__(),
                lambda s=side, w=written: staged([s], superseded=[w]).__enter__(),
            ):
                with pytest.raises(OutputError, match=r"this run reads.*Give another path"):
                    refuse()
        require_free([written], overwrite=ANY)  # nothing is read any more
    assert area.read_text() == "precious"


def test_a_folder_that_holds_an_input_is_no_output(area: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with staged([folder], kind="run") as (made,):
        made.mkdir()
    (folder / "model").symlink_to(area)
    (folder / "weights").write_text("old")
    with reading([folder / "weights"]), pytest.raises(OutputError, match=r"run: .*holds.*weights"):
        require_free([folder], overwrite=ANY, kind="run")
    with reading([folder]), pytest.raises(OutputError, match="what this run reads"):
        require_free([folder], overwrite=ANY, kind="run")
    with reading([folder]):  # beside what is read in it
        require_free([folder / "new"], overwrite=0)


def test_options_that_are_no_paths_are_passed_over(tmp_path: Path) -> None:
    before = being_read()
    with reading(["10,45,11,46", "", tmp_path / "gone.gpkg", "x" * 5000]):
        require_free([tmp_path / "gone.gpkg"], overwrite=0)
        assert len(being_read()) == len(before) + 4
    assert being_read() == before


def test_a_file_of_others_needs_saying_so_twice(tmp_path: Path) -> None:
    mine = tmp_path / "map.tif"
    mine.write_text("mine")
    for overwrite, words in ((0, "it exists"), (OWN, "geolulc did not write.*--overwrite twice")):
        with pytest.raises(OutputError, match=words):
            require_free([mine], overwrite=overwrite)
    with staged([mine], overwrite=ANY) as (new,):
        new.write_text("new")
    assert mine.read_text() == "new"


def test_a_file_of_others_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="geolulc did not write"),
        staged([tmp_path / "map.tif"], overwrite=OWN) as (new,),
    ):
        new.write_text("new")
        (tmp_path / "map.tif").write_text("mine")
    assert (tmp_path / "map.tif").read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "own"),
    [
        ("", True),
        ('{"properties": {"processing:software": {\n  "geolulc": "0.1.0"}}}', True),
        ('{"dependencies": {"geolulc": "0.1.0"}}', False),
        ("geolulc==0.1.0", False),
        ('<Item name="GEOLULC_VERSION">0.1.0</Item>', True),
        (" " * 3_000_000 + "GEOLULC_VERSION" + " " * 1000, True),
    ],
)
def test_files_say_themselves_that_geolulc_wrote_them(
    tmp_path: Path, content: str, own: bool
) -> None:
    path = tmp_path / "file.json"
    path.write_text(content)
    assert is_own_file(path) == own


def test_silent_files_belong_to_what_lies_beside_them(tmp_path: Path) -> None:
    style, raster = tmp_path / "map.qml", tmp_path / "map.tif"
    style.write_text("<qgis/>")
    assert not is_own_file(style, [style, raster])
    raster.write_text("of another program")
    assert not is_own_file(style, [style, raster])
    raster.write_text("GEOLULC_VERSION")
    assert is_own_file(style, [style, raster])


def test_a_broken_geopackage_is_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    path.write_text("GEOLULC_VERSION")
    assert not is_own_file(path)
    sqlite3.connect(tmp_path / "b.gpkg").execute("CREATE TABLE mine (x)").connection.close()
    assert not is_own_file(tmp_path / "b.gpkg")
