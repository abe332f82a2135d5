"""``geolulc summarize``, ``geolulc compare`` and ``geolulc info`` of maps of both kinds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import pytest
import rasterio
from click.testing import CliRunner, Result
from made_map import SOUTHERN_TILE, TILE
from shapely.geometry import box
from written_map import KINDS, write_made

from geolulc.cli import cli, main


@pytest.fixture(params=KINDS)
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Two maps of one grid, one of another, and zones in degrees."""
    for name, seed in (("a", 0), ("b", 1)):
        write_made(request.param, tmp_path / f"{name}.tif", seed=seed)
    write_made(request.param, tmp_path / "south.tif", tile=SOUTHERN_TILE)
    left, top = TILE.left, TILE.top
    zones = geopandas.GeoDataFrame(
        {"district": ["north", "far"]},
        geometry=[box(left, top - 2500, left + 6600, top), box(0, 0, 900, 900)],
        crs=TILE.crs,
    )
    zones.to_crs(4326).to_file(tmp_path / "zones.gpkg")
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> str:
    """The one line on stderr of a command that fails with 1."""
    monkeypatch.setattr("sys.argv", ["geolulc", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_summarize_writes_zones_and_says_what_it_found(folder: Path) -> None:
    out = folder / "out.gpkg"
    result = run(
        "summarize", folder / "a.tif", "--zones", folder / "zones.gpkg", "--out", out, "-q"
    )
    assert result.exit_code == 0, result.output
    first, second, third = result.stdout.splitlines()
    assert first.startswith("2 zones: ")
    assert "1 outside" in first
    assert second.endswith(" ha mapped in zones")
    assert third == str(out)
    zones = geopandas.read_file(out)
    assert zones["district"].tolist() == ["north", "far"]
    assert zones.crs.to_epsg() == 4326
    result = run(
        "summarize", folder / "a.tif", "--zones", folder / "zones.gpkg", "--out", out,
        "--overwrite", "--json", "-q",
    )  # fmt: skip
    found = json.loads(result.stdout)
    assert found["mapped_ha"] == pytest.approx(zones["mapped_ha"].sum())
    assert found["zones"] == 2


def test_compare_writes_change_and_says_what_it_found(folder: Path) -> None:
    out = folder / "change.tif"
    result = run("compare", folder / "a.tif", folder / "b.tif", "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("compared ")
    assert "largest changes:" in result.stdout
    with rasterio.open(out) as dataset:
        assert dataset.count == 2
    result = run(
        "compare", folder / "a.tif", folder / "b.tif", "--out", out, "--overwrite", "--json"
    )
    found: dict[str, Any] = json.loads(result.stdout)
    assert 0 <= found["agreement"] <= 1
    total = sum(c["both_ha"] for c in found["classes"])
    total += sum(t["area_ha"] for t in found["transitions"])
    assert total == pytest.approx(found["compared_ha"])
    assert Path(found["files"]["matrix"]).is_file()
    result = run("info", out, "--json")
    assert json.loads(result.stdout)["agreement"] == pytest.approx(found["agreement"], abs=1e-6)


def test_info_describes_a_map(folder: Path) -> None:
    description = json.loads(run("info", folder / "a.tif", "--json").stdout)
    expected = ("map", "classes") if "pixel_size_m" in description else ("map", "probabilities")
    assert (description["kind"], description["content"]) == expected
    assert description.get("pixel_size_m", description.get("stride_m")) in (20, 1200)
    assert description["mapped_area_ha"] == pytest.approx(
        sum(description["area_ha_by_class"].values()), abs=0.01
    )
    assert "mapped area ha" in run("info", folder / "a.tif").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("summarize", "a.tif", "--zones", "no.gpkg", "--out", "o.csv"), "no.gpkg"),
        (("summarize", "no.tif", "--zones", "zones.gpkg", "--out", "o.csv"), "no.tif"),
        (("summarize", "zones.gpkg", "--zones", "zones.gpkg", "--out", "o.csv"), "a map written"),
        (("summarize", "a.tif", "--zones", "zones.gpkg", "--out", "o.doc"), "'.doc'"),
        (
            ("summarize", "a.tif", "--zones", "zones.gpkg", "--out", "zones.gpkg"),
            "a file that this run reads",
        ),
        (("compare", "a.tif", "south.tif", "--out", "c.tif"), "coordinate reference system"),
        (("compare", "a.tif", "b.tif", "--out", "a.tif"), "a file that this run reads"),
        (("compare", "a.tif", "b.tif", "--out", "c.gpkg"), "'.gpkg'"),
        (("compare", "a.tif", "b.tif", "--out", "none/c.tif"), "no folder none"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path,
    arguments: tuple[str, ...],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    quiet = ["-q"] if arguments[0] in ("summarize", "compare") else []
    line = failure(capsys, monkeypatch, *arguments, *quiet)
    assert line.startswith("geolulc: ")
    assert words in line
    assert sorted(folder.iterdir()) == before
