"""A mosaic a month, season or year, and the Collection over them."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pystac
import pytest
from made_fields import flat_field, made_field, write_field
from stac_fields import offline_validator

from geolulc.cli import main
from geolulc.errors import OutputError, ParameterError
from geolulc.mosaics import MosaicOptions, MosaicOutput, make_mosaics
from geolulc.mosaics.periods import period_of
from geolulc.outputs import compare_maps, read_map

FEW = MosaicOutput(("probabilities", "observations", "stac"))


@pytest.mark.parametrize(
    ("time", "month", "season", "year"),
    [
        ("2020-02-29T10:00:00Z", "2020-02", "2020-DJF", "2020"),
        ("2019-12-01T00:00:00Z", "2019-12", "2020-DJF", "2019"),
        ("2019-11-30T23:59:59Z", "2019-11", "2019-SON", "2019"),
        ("2020-03-01T00:30:00+01:00", "2020-02", "2020-DJF", "2020"),  # in UTC
        ("2020-07-01T10:00:00Z", "2020-07", "2020-JJA", "2020"),
        ("2020-05-31T10:00:00Z", "2020-05", "2020-MAM", "2020"),
    ],
)
def test_names_of_periods(time: str, month: str, season: str, year: str) -> None:
    found = datetime.fromisoformat(time)
    assert [period_of(found, by) for by in ("month", "season", "year")] == [month, season, year]


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    folder = tmp_path / "maps"
    folder.mkdir()
    for i, (time, left) in enumerate(
        [
            ("2023-12-20T10:00:00Z", 600_000.0),
            ("2024-01-10T10:00:00Z", 618_600.0),
            ("2024-06-20T10:00:00Z", 600_000.0),
        ]
    ):
        write_field(folder, flat_field(0.2 * (i + 1), time=time, left=left))
    return folder


def make(maps: Path, out: Path, by: str = "season", **options: object) -> list[tuple]:
    results = make_mosaics([maps], out, MosaicOptions(), FEW, by, **options)
    for result in results:
        if result.error is not None:
            raise result.error
    return [(result.period, result.mosaic.maps, result.skipped) for result in results]


def test_seasons_on_one_grid_with_a_collection(maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "seasons"
    assert make(maps, out) == [("2024-DJF", 2, False), ("2024-JJA", 1, False)]
    winter, summer = read_map(out / "2024-DJF.tif"), read_map(out / "2024-JJA.tif")
    assert winter.grid == summer.grid
    assert compare_maps(winter, summer).compared_ha > 0
    np.testing.assert_allclose(summer.probabilities[:, :, :40], 0.6, rtol=1e-6)
    assert np.isnan(summer.probabilities[:, :, 40:]).all()
    document = json.loads((out / "collection.json").read_text())
    offline_validator().validate_core(document, pystac.STACObjectType.COLLECTION, "1.1.0")
    collection = pystac.Collection.from_file(out / "collection.json")
    assert collection.id == "seasons"
    items = list(collection.get_items())
    assert [item.id for item in items] == ["2024-DJF", "2024-JJA"]
    assert all(item.get_collection().id == "seasons" for item in items)
    whole, winter_span, _ = collection.extent.temporal.intervals
    assert not list(out.glob("*_collection.json")), "one over all"
    assert [t.isoformat()[:10] for t in whole] == ["2023-12-20", "2024-06-20"]
    assert [t.isoformat()[:10] for t in winter_span] == ["2023-12-20", "2024-01-10"]


def test_a_rerun_skips_what_is_done_and_makes_what_is_new(maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "months"
    assert len(make(maps, out, "month")) == 3
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("*.tif")}
    (out / "2024-01.tif").unlink()  # as if killed before its last rename
    write_field(maps, flat_field(0.9, time="2024-07-20T10:00:00Z"))
    assert make(maps, out, "month") == [
        ("2023-12", 1, True),
        ("2024-01", 1, False),
        ("2024-06", 1, True),
        ("2024-07", 1, False),
    ]
    assert (out / "2024-06.tif").stat().st_mtime_ns == before["2024-06.tif"]
    items = pystac.Collection.from_file(out / "collection.json").get_items()
    assert [item.id for item in items] == ["2023-12", "2024-01", "2024-06", "2024-07"]


def test_other_inputs_are_not_taken_for_the_same(maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "years"
    make(maps, out, "year")
    write_field(maps, flat_field(0.9, time="2024-07-20T10:00:00Z"))
    with pytest.raises(OutputError, match=r"2024\.tif: found a mosaic of 2 maps.*these 3 maps"):
        make(maps, out, "year")
    assert make(maps, out, "year", overwrite=True) == [("2023", 1, False), ("2024", 3, False)]


def test_one_that_fails_does_not_stop_the_others(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_field(maps, made_field(time="2024-02-20T10:00:00Z", name="broken"))
    data = bytearray(path.read_bytes())
    data[-6_000:-100] = bytes(byte ^ 0x5A for byte in data[-6_000:-100])
    path.write_bytes(data)
    out = tmp_path / "months"
    monkeypatch.setattr(
        sys,
        "argv",
        ["geolulc", "mosaic", str(maps), "--out", str(out), "--group-by", "month", "-q"],
    )
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    printed = capsys.readouterr()
    assert "2024-06: 1 map combined" in printed.out
    first, last = printed.err.splitlines()
    assert first.startswith(f"geolulc: {path}: found a damaged file")
    assert last == "geolulc: 1 of 4 periods failed"
    assert sorted(p.name for p in out.glob("2024-02*")) == []
    assert (out / "2024-06.tif").is_file()


def test_the_folder_is_a_folder(maps: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="a file for the mosaics of several periods"):
        make(maps, tmp_path / "mosaic.tif")
    with pytest.raises(OutputError, match="no folder"):
        make(maps, tmp_path / "no" / "where")
    with pytest.raises(ParameterError, match="period 'week'"):
        make(maps, tmp_path / "weeks", "week")
