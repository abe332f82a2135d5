"""A mosaic a month, season or year, and the Collection over them."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pystac
import pytest
from made_mosaics import MAIN, read, write_flat
from stac_fields import offline_validator
from written_map import KINDS

from geolulc.analysis import compare_files, open_map
from geolulc.cli import main
from geolulc.errors import OutputError, ParameterError
from geolulc.mosaics import MosaicOptions, make_mosaics
from geolulc.mosaics.periods import period_of
from geolulc.outputs.options import OutputOptions


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


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def write_dated(kind: str, folder: Path, time: str, *steps: int, east: bool = False) -> Path:
    """A map of a date: of the ground of all others, or further to the east."""
    left = 600_000.0 + (18_600.0 if kind == "cells" else 2_000.0) * east
    return write_flat(kind, folder, time[:10], *steps, left=left, time=time)


@pytest.fixture
def maps(kind: str, tmp_path: Path) -> Path:
    folder = tmp_path / "maps"
    for i, time in enumerate(
        ("2023-12-20T10:00:00Z", "2024-01-10T10:00:00Z", "2024-06-20T10:00:00Z")
    ):
        write_dated(kind, folder, time, 200 - 25 * i, 30, 20, east=i == 1)
    return folder


def make(kind: str, maps: Path, out: Path, by: str = "season", **options: object) -> list[tuple]:
    output = OutputOptions((MAIN[kind], "observations", "stac"))
    results = make_mosaics([maps], out, MosaicOptions(), output, by, **options)
    for result in results:
        if result.error is not None:
            raise result.error
        assert list(result.mosaic.files)[-1] == MAIN[kind]
        assert result.mosaic.pixels == (kind == "pixels")
    return [(result.period, result.mosaic.maps, result.skipped) for result in results]


def test_seasons_on_one_grid_with_a_collection(kind: str, maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "seasons"
    assert make(kind, maps, out) == [("2024-DJF", 2, False), ("2024-JJA", 1, False)]
    winter, summer = out / "2024-DJF.tif", out / "2024-JJA.tif"
    with open_map(winter) as one, open_map(summer) as other:
        assert one.header.grid == other.header.grid
    assert compare_files(winter, summer, tmp_path / "change.tif")[1]["compared_ha"] > 0
    wide = 40 if kind == "cells" else 180
    if kind == "cells":
        np.testing.assert_allclose(read(summer)[0, :, :wide], 150 / 250, rtol=1e-6)
        assert np.isnan(read(summer)[:, :, wide:]).all()
    else:
        assert (read(summer)[0, :, :wide] > 0).all()
        assert (read(summer)[0, :, wide:] == 0).all()
    document = json.loads((out / "collection.json").read_text())
    offline_validator().validate_core(document, pystac.STACObjectType.COLLECTION, "1.1.0")
    size = "cells of 600 m" if kind == "cells" else "pixels of 20 m"
    assert f"2 mosaics in {size} on one grid" in document["description"]
    collection = pystac.Collection.from_file(out / "collection.json")
    assert collection.id == "seasons"
    items = list(collection.get_items())
    assert [item.id for item in items] == ["2024-DJF", "2024-JJA"]
    assert all(item.get_collection().id == "seasons" for item in items)
    whole, winter_span, _ = collection.extent.temporal.intervals
    assert not list(out.glob("*_collection.json")), "one over all"
    assert [t.isoformat()[:10] for t in whole] == ["2023-12-20", "2024-06-20"]
    assert [t.isoformat()[:10] for t in winter_span] == ["2023-12-20", "2024-01-10"]


def test_a_rerun_skips_what_is_done_and_makes_what_is_new(
    kind: str, maps: Path, tmp_path: Path
) -> None:
    out = tmp_path / "months"
    assert len(make(kind, maps, out, "month")) == 3
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("*.tif")}
    (out / "2024-01.tif").unlink()  # as if killed before its last rename
    (out / "notes.json").write_text("[" * 100_000)  # another's
    write_dated(kind, maps, "2024-07-20T10:00:00Z", 100, 90, 60)
    assert make(kind, maps, out, "month") == [
        ("2023-12", 1, True),
        ("2024-01", 1, False),
        ("2024-06", 1, True),
        ("2024-07", 1, False),
    ]
    assert (out / "2024-06.tif").stat().st_mtime_ns == before["2024-06.tif"]
    items = pystac.Collection.from_file(out / "collection.json").get_items()
    assert [item.id for item in items] == ["2023-12", "2024-01", "2024-06", "2024-07"]


def test_other_inputs_are_not_taken_for_the_same(kind: str, maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "years"
    make(kind, maps, out, "year")
    write_dated(kind, maps, "2024-07-20T10:00:00Z", 100, 90, 60)
    with pytest.raises(OutputError, match=r"2024\.tif: found .* maps 2, .*one with .*maps 3, "):
        make(kind, maps, out, "year")
    assert make(kind, maps, out, "year", overwrite=True) == [("2023", 1, False), ("2024", 3, False)]
    # less is known of a map now: the mosaic would be another
    beside = "uncertainty" if kind == "cells" else "probabilities"
    (maps / f"2023-12-20_{beside}.tif").unlink()
    with pytest.raises(
        OutputError, match=r"found a map made with maps_sha256 \w+; expected one with maps_sha256 "
    ):
        make(kind, maps, out, "year")


def test_side_files_of_a_gis_are_no_other_maps(kind: str, maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "years"
    made = make(kind, maps, out, "year")
    first = sorted(maps.glob("*0.tif"))[0]
    first.with_name(f"{first.name}.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><Metadata><MDI key="STATISTICS_APPROXIMATE">YES</MDI>'
        "</Metadata></PAMRasterBand></PAMDataset>"
    )
    assert make(kind, maps, out, "year") == [(*period[:2], True) for period in made]
    shutil.copytree(maps, tmp_path / "copy")
    with pytest.raises(ParameterError, match="expected each map once"):
        options = OutputOptions((MAIN[kind],))
        make_mosaics([maps, tmp_path / "copy"], out, MosaicOptions(), options, "year")


def test_other_outputs_are_not_taken_for_the_same(kind: str, maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "years"
    make(kind, maps, out, "year")
    more = OutputOptions((MAIN[kind], "vectors"))
    results = make_mosaics([maps], out, MosaicOptions(), more, "year")
    assert all("found a map made with " in str(result.error) for result in results)
    assert all("vectors" in str(result.error) for result in results)


def test_one_that_fails_does_not_stop_the_others(
    kind: str,
    maps: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write_dated(kind, maps, "2024-02-20T10:00:00Z", 100, 90, 60)
    if kind == "pixels":
        path = path.with_name(f"{path.stem}_probabilities.tif")
    data = bytearray(path.read_bytes())
    data[-1_000:-100] = bytes(byte ^ 0x5A for byte in data[-1_000:-100])
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
    assert f"2024-06: 1 map combined, {kind} copied" in printed.out
    first, last = (line for line in printed.err.splitlines() if "caution" not in line)
    assert first.startswith(f"geolulc: {path}: found a damaged file")
    assert last == "geolulc: 1 of 4 periods failed"
    assert sorted(p.name for p in out.glob("2024-02*")) == []
    assert (out / "2024-06.tif").is_file()


@pytest.mark.parametrize("kind", ["cells"])
def test_the_folder_is_a_folder(kind: str, maps: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="a file for the mosaics of several periods"):
        make(kind, maps, tmp_path / "mosaic.tif")
    with pytest.raises(OutputError, match="no folder"):
        make(kind, maps, tmp_path / "no" / "where")
    with pytest.raises(ParameterError, match="period 'week'"):
        make(kind, maps, tmp_path / "weeks", "week")
