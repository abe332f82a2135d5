"""What can be wrong with maps, options and disks: one line that names it, and nothing left."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from made_fields import CLASSES, made_field, write_field
from rasterio.transform import from_origin

from geolulc.cli import main
from geolulc.errors import GeolulcError, OutputError, ParameterError
from geolulc.mosaics import MosaicOptions, MosaicOutput, make_mosaic
from geolulc.outputs import read_map

FEW = MosaicOutput(("probabilities", "observations"))


def attempt(paths: list[Path], out: Path, **choices: Any) -> None:
    make_mosaic(paths, out, MosaicOptions(**choices), FEW)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["geolulc", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0)


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    folder = tmp_path / "maps"
    folder.mkdir()
    write_field(folder, made_field(name="a"))
    write_field(folder, made_field(618_600.0, name="b"))
    return folder


def test_a_damaged_map_is_named(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = maps / "b.tif"
    data = bytearray(path.read_bytes())
    data[-6_000:-100] = bytes(byte ^ 0x5A for byte in data[-6_000:-100])
    path.write_bytes(data)
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "mosaic.tif"
    assert run(monkeypatch, "mosaic", maps, "--out", out, "-q") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"geolulc: {path}: found a damaged file")
    assert error.count("\n") == 1
    assert list(out.parent.iterdir()) == []


def test_a_truncated_map_is_named(maps: Path, tmp_path: Path) -> None:
    path = maps / "b.tif"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(GeolulcError, match=r"b\.tif"):
        attempt([maps], tmp_path / "mosaic.tif")


def test_a_raster_of_others_is_named(maps: Path, tmp_path: Path) -> None:
    other = maps / "c.tif"
    with rasterio.open(
        other, "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8", crs="EPSG:32632",
        transform=from_origin(0, 0, 10, 10),
    ) as dataset:  # fmt: skip
        dataset.write(np.ones((1, 4, 4), np.uint8))
    with pytest.raises(OutputError, match=r"c\.tif: found a raster without geolulc's tags"):
        attempt([maps], tmp_path / "mosaic.tif")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda folder: folder / "nowhere.tif", "nowhere.tif"),
        (lambda folder: folder / "nothing", "nothing there"),
        (lambda folder: folder, "a folder without .tif"),
        (lambda folder: write(folder / "notes.pdf", "x"), "a file of another kind"),
        (lambda folder: write(folder / "list.txt", "gone.tif\n"), "gone.tif"),
    ],
)
def test_what_is_no_map(tmp_path: Path, make: Any, match: str) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(GeolulcError, match=match):
        attempt([make(folder)], tmp_path / "mosaic.tif")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_list_of_maps(maps: Path, tmp_path: Path) -> None:
    listed = write(tmp_path / "list.txt", "# two\nmaps/a.tif\n\n" + str(maps / "b.tif") + "\n")
    attempt([listed], tmp_path / "mosaic.tif")
    assert read_map(tmp_path / "mosaic.tif").grid.shape == (30, 71)


def test_only_other_rasters_of_maps(maps: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="none among 1 rasters of maps"):
        attempt([maps / "a_uncertainty.tif"], tmp_path / "mosaic.tif")


def test_a_mosaic_is_no_map_of_a_scene(maps: Path, tmp_path: Path) -> None:
    attempt([maps], tmp_path / "mosaic.tif")
    with pytest.raises(OutputError, match=r"mosaic\.tif: found a mosaic"):
        attempt([maps, tmp_path / "mosaic.tif"], tmp_path / "another.tif")
    # but one that is being replaced is not among its own maps
    attempt([maps], maps / "mosaic.tif")
    make_mosaic([maps], maps / "mosaic.tif", MosaicOptions(), FEW, overwrite=True)


def test_a_map_twice(maps: Path, tmp_path: Path) -> None:
    shutil.copy(maps / "a.tif", tmp_path / "again.tif")
    with pytest.raises(ParameterError, match=r"again\.tif: found the map that .*a\.tif holds"):
        attempt([maps, tmp_path / "again.tif"], tmp_path / "mosaic.tif")


def test_shares_of_another_map(maps: Path, tmp_path: Path) -> None:
    shutil.copy(maps / "a_uncertainty.tif", maps / "b_uncertainty.tif")
    with pytest.raises(OutputError, match=r"b_uncertainty\.tif: found shares of another map"):
        attempt([maps], tmp_path / "mosaic.tif")


def test_other_classes_are_named(maps: Path, tmp_path: Path) -> None:
    made = made_field(624_000.0, name="c")
    other = replace(made, classes=(*CLASSES[:2], "Inland waters"))
    write_field(maps, other)
    with pytest.raises(
        ParameterError, match=r"c\.tif: found other classes \(Inland waters, Marine waters\)"
    ):
        attempt([maps], tmp_path / "mosaic.tif")
    write_field(
        maps,
        replace(made, classes=("Vineyards", "Rice fields", "Airports"), nomenclature="clc43"),
        overwrite=True,
    )
    with pytest.raises(ParameterError, match=r"c\.tif: found the nomenclature clc43"):
        attempt([maps], tmp_path / "mosaic.tif")


def test_different_models_only_when_asked_for(maps: Path, tmp_path: Path) -> None:
    made = made_field(624_000.0, name="c")
    write_field(
        maps,
        replace(made, model={"name": "new", "sha256": "1" * 64}, thresholds=(0.6, 0.5, 0.4)),
    )
    out = tmp_path / "mosaic.tif"
    with pytest.raises(ParameterError, match=r"c\.tif: .*111111111111.*--allow-different-models"):
        attempt([maps], out)
    attempt([maps], out, mixed_models=True)
    found = read_map(out)
    assert found.model["name"] == "made, new"
    assert found.thresholds == (0.5, 0.5, 0.5)
    # by model, though two of three agree on two classes
    made = made_field(636_000.0, name="d")
    write_field(
        maps,
        replace(made, model={"name": "newer", "sha256": "2" * 64}, thresholds=(0.4, 0.5, 0.9)),
    )
    make_mosaic([maps], out, MosaicOptions(mixed_models=True), FEW, overwrite=True)
    np.testing.assert_allclose(read_map(out).thresholds, (1.4 / 3, 0.5, 1.9 / 3), atol=1e-6)


def test_shares_beyond_1_are_damage(maps: Path, tmp_path: Path) -> None:
    path = maps / "a_uncertainty.tif"
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        valid = dataset.descriptions.index("Valid share") + 1
        dataset.write(np.full(dataset.shape, 7, np.float32), valid)
    with pytest.raises(OutputError, match=r"a_uncertainty\.tif: found a damaged file \(shares"):
        attempt([maps], tmp_path / "mosaic.tif")


def test_what_exists_is_not_touched(maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "mosaic.tif"
    out.write_text("mine")
    with pytest.raises(OutputError, match="it exists"):
        attempt([maps / "nowhere.tif"], out)  # refused before anything is read
    assert out.read_text() == "mine"


@pytest.mark.parametrize("by", [None, "year"])
@pytest.mark.parametrize("place", ["s3://bucket/here", "/vsis3/bucket/here"])
def test_object_storage_is_refused(
    maps: Path,
    place: str,
    by: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = ("--out", place, "--group-by", by) if by else ("--out", f"{place}.tif")
    assert run(monkeypatch, "mosaic", maps, *given, "-q") == 1
    error = capsys.readouterr().err
    assert "found a place that is no file system" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--combine", "mode"),
        ("--outputs", "probability"),
        ("--group-by", "week"),
        ("--cell-size", "large"),
    ],
)
def test_wrong_usage(
    tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "mosaic", "a.tif", "--out", tmp_path / "m.tif", *arguments) == 2


# forks: rasterio and pandas are loaded once
FORKS = """
import os, resource, signal, sys, time
from pathlib import Path
from geolulc.errors import OutputError
from geolulc.mosaics import MosaicOptions, MosaicOutput, make_mosaic
from geolulc.mosaics import blocks
import geolulc.mosaics.writing, geolulc.outputs.report, pyogrio, geopandas

maps, folder = Path(sys.argv[1]), Path(sys.argv[2])

def start(out, outputs, limit=None, slow=0.0):
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        if slow:
            plain = blocks.combine
            blocks.combine = lambda *a: (time.sleep(slow), plain(*a))[1]
            blocks._BUDGET = 20_000
        make_mosaic([maps], out, MosaicOptions(crs="EPSG:3035"), MosaicOutput(outputs))
        code = 0
    except OutputError as error:
        code = 7 if "Free some space" in str(error) else 8
    finally:
        os._exit(code)

for output, limit in [("probabilities", 3_000), ("probabilities", 8_000), ("vectors", 60_000),
                      ("stac", 500)]:
    there = folder / f"{output}{limit}"
    there.mkdir()
    code = os.waitstatus_to_exitcode(os.waitpid(start(there / "m.tif", (output,), limit), 0)[1])
    print("full", output, limit, code, *sorted(os.listdir(there)), flush=True)
out = folder / "killed" / "m.tif"
out.parent.mkdir()
for i in range(4):
    child = start(out, MosaicOutput().outputs, slow=0.05)
    time.sleep(0.1 + 0.3 * i)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    seen = [n for n in os.listdir(out.parent) if not n.startswith(".")]
    print("killed", *seen, flush=True)
    if "m.tif" in seen:
        break
code = os.waitstatus_to_exitcode(os.waitpid(start(out, ("probabilities",)), 0)[1])
print("again", code, *sorted(os.listdir(out.parent)), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and limits the size of files")
def test_full_disks_and_kills_leave_nothing_that_looks_complete(maps: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, str(maps), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    for line in lines:
        if line[0] == "full":
            assert line[3:] == ["7"], line  # an OutputError, and an empty folder
        if line[0] == "killed":
            assert line == ["killed"]
    assert lines[-1] == ["again", "0", "m.qml", "m.tif"]
