"""Lists of v1 in all the forms in circulation."""

from __future__ import annotations

import bz2
import importlib.util
import itertools
from collections import Counter
from pathlib import Path

import pytest
from made_archives import v1_name

from geolulc.datasets.lists import Lists, find_countries, find_lists
from geolulc.datasets.places import _rectangles, find_place
from geolulc.errors import DatasetError

NAMES = [v1_name(i) for i in range(6)]


def write_splits(folder: Path, form: str) -> None:
    folder.mkdir(exist_ok=True)
    for i, split in enumerate(("train", "val", "test")):
        members = NAMES[2 * i : 2 * i + 2]
        if form == "two columns":
            lines = [f"{name},S1A_IW_GRDH_1SDV_33UUP" for name in members]
        elif form == "two columns, other order, header":
            lines = ["s1_name,s2_name", *(f"S1A_IW_GRDH_1SDV_33UUP,{name}" for name in members)]
        else:
            lines = members
        if form == "semicolons and quotes":
            lines = ['"id";"patch"', *(f'{i};"{name}"' for i, name in enumerate(members))]
        text = "\n".join(lines) + ("" if form == "no newline at the end" else "\n")
        if form == "bz2":
            (folder / f"{split}.csv.bz2").write_bytes(bz2.compress(text.encode()))
        elif form == "txt, crlf":
            (folder / f"{split}.txt").write_bytes(text.replace("\n", "\r\n").encode())
        elif form in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
            (folder / f"{split}.csv").write_bytes(text.replace("\n", "\r\n").encode(form))
        else:
            (folder / f"{split}.csv").write_text(text)


@pytest.mark.parametrize(
    "form",
    [
        "plain",
        "no newline at the end",
        "two columns",
        "two columns, other order, header",
        "bz2",
        "txt, crlf",
        "utf-8-sig",
        "utf-16",
        "utf-16-le",
        "utf-16-be",
        "utf-32",
        "semicolons and quotes",
    ],
)
def test_split_lists(tmp_path: Path, form: str) -> None:
    write_splits(tmp_path / "lists", form)
    lists = find_lists(tmp_path, Lists(splits=tmp_path / "lists"))
    assert lists.splits == dict(
        zip(NAMES, ["train", "train", "val", "val", "test", "test"], strict=True)
    )
    assert lists.snow is None
    assert lists.cloud is None
    assert lists.origin["splits"] == "lists"


def test_listed_patches_that_are_not_there_are_counted(tmp_path: Path) -> None:
    write_splits(tmp_path, "plain")
    (tmp_path / "patches_with_seasonal_snow.csv").write_text(f"{NAMES[0]}\n{NAMES[5]}\n")
    absent = find_lists(tmp_path).without(NAMES[:4])
    assert absent == {
        "splits": {"patches": 2, "example": NAMES[4]},
        "snow": {"patches": 1, "example": NAMES[5]},
    }
    assert find_lists(tmp_path).without(NAMES) == {}


def test_lists_beside_the_archive(tmp_path: Path) -> None:
    archive = tmp_path / "BigEarthNet-v1.0"
    archive.mkdir()
    write_splits(tmp_path / "splits", "plain")
    (tmp_path / "patches_with_seasonal_snow.csv").write_text(f"{NAMES[0]}\n")
    cloud = bz2.compress(f"{NAMES[1]}\n{NAMES[2]}\n".encode())
    (tmp_path / "patches_with_cloud_and_shadow.csv.bz2").write_bytes(cloud)
    lists = find_lists(archive)
    assert lists.snow == {NAMES[0]}
    assert lists.cloud == {NAMES[1], NAMES[2]}


def test_the_list_of_countries(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    assert find_countries(archive) is None
    text = f"s1_name,s2_name,country,season\nS1A_x,{NAMES[0]},Austria,Summer\n"
    file = tmp_path / "s1_s2_name_country_season.csv.bz2"
    file.write_bytes(bz2.compress(text.encode()))
    assert find_countries(archive) == {NAMES[0]: "Austria"}
    file.write_bytes(bz2.compress(b"header\nS1A_x,nonsense\n"))
    with pytest.raises(DatasetError, match="line 2: found 'S1A_x,nonsense'"):
        find_countries(archive)


def test_broken_lists(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no train\.csv, val\.csv and test\.csv .* --splits"):
        find_lists(tmp_path, Lists(splits=tmp_path))
    write_splits(tmp_path, "plain")
    train = tmp_path / "train.csv"
    train.write_text(f"{NAMES[0]}\nnonsense\n")
    with pytest.raises(DatasetError, match=r"train\.csv, line 2: found 'nonsense'"):
        find_lists(tmp_path)
    train.write_text(f"{NAMES[2]}\n")
    with pytest.raises(DatasetError, match=f"{NAMES[2]}, which is in train too"):
        find_lists(tmp_path)
    train.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"train\.csv: found bytes that are no UTF-16"):
        find_lists(tmp_path)
    train.write_text("x" * 100_000)
    with pytest.raises(DatasetError, match="a line that is longer than any name"):
        find_lists(tmp_path)
    train.write_text(f"{NAMES[0]}x\n{NAMES[1]}\n")
    with pytest.raises(DatasetError, match=f"line 1: found '{NAMES[0]}x'"):
        find_lists(tmp_path)
    train.unlink()
    (tmp_path / "train.csv.bz2").write_bytes(bz2.compress(b"x" * 1000)[:20])
    with pytest.raises(DatasetError, match="a file that cannot be read"):
        find_lists(tmp_path)


@pytest.mark.parametrize(
    ("name", "crs", "left", "top", "place"),
    [
        # from the labels files of the official examples
        ("S2A_MSIL2A_20170613T101031_87_48", "EPSG:32633", 404400, 5342400, ("33UUP", "Austria")),
        ("S2A_MSIL2A_20170617T113321_36_85", "EPSG:32629", 643200, 5798040, ("29UPU", "Ireland")),
        ("S2A_MSIL2A_20171221T112501_56_35", "EPSG:32629", 567180, 4358040, ("29SND", "Portugal")),
        ("S2B_MSIL2A_20170924T93020_69_24", "EPSG:32635", 682800, 6971220, ("35VPK", "Finland")),
    ],
)
def test_places(
    name: str, crs: str, left: float, top: float, place: tuple[str, str] | None
) -> None:
    assert find_place(name, crs, left, top) == place


def test_two_countries_on_a_tile() -> None:
    # tile 31UGR: Belgium in the north-west, Luxembourg in the south-east
    corner = (699960, 5600040)
    found = {
        find_place(f"x_{c}_{r}", "EPSG:32631", corner[0] + 1200 * c, corner[1] - 1200 * r)
        for c, r in ((2, 2), (80, 80))
    }
    assert found == {("31UGR", "Belgium"), ("31UGR", "Luxembourg")}


def test_places_elsewhere() -> None:
    assert find_place("x_0_0", "EPSG:32648", 300000, 5400000) is None
    assert find_place("x_0_0", "EPSG:32733", 300000, 5400000) is None
    assert find_place("x_0_0", "EPSG:3857", 300000, 5400000) is None


@pytest.fixture(scope="module")
def official() -> Path:
    """The folder of bigearthnet-common; skips where it is not installed."""
    spec = importlib.util.find_spec("bigearthnet_common")
    if spec is None or spec.origin is None:
        pytest.skip("bigearthnet-common is not installed")
    return Path(spec.origin).parent


def test_the_official_lists(official: Path) -> None:
    lists = find_lists(official / "archive.tar")
    counts = Counter(lists.splits.values())
    assert counts == {"train": 269_695, "val": 123_723, "test": 125_866}
    assert lists.snow is not None
    assert lists.cloud is not None
    assert (len(lists.snow), len(lists.cloud)) == (61_707, 9_280)
    assert not lists.snow & lists.splits.keys()
    assert not lists.cloud & lists.splits.keys()


def test_places_are_those_of_bigearthnet_common(official: Path) -> None:
    squares = {r[0].tile: square for square, r in _rectangles().items()}
    with bz2.open(official / "s1_s2_name_country_season.csv.bz2", "rt") as lines:
        next(lines)
        for line in itertools.islice(lines, 0, None, 97):
            s1, s2, country, _ = line.split(",")
            tile, column, row = s1.split("_")[-3:]
            zone, easting, northing = squares[tile]
            left = easting * 100_000 + 1200 * int(column)
            top = (northing + 1) * 100_000 - 1200 * int(row)
            assert find_place(s2, f"EPSG:326{zone:02d}", left, top) == (tile, country)
