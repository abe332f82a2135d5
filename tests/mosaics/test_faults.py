"""What can be wrong with maps, options and disks: one line that names it, and nothing left."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from made_fields import CLASSES, changed, made_field, write_field
from made_mosaics import MAIN, pixel_header, write_flat, write_pixels
from made_pixel_map import made_pixels
from rasterio.transform import from_origin
from written_map import KINDS

from geolulc.analysis import describe_map, read_map
from geolulc.cli import main
from geolulc.errors import GeolulcError, OutputError, ParameterError
from geolulc.mosaics import MosaicOptions, make_mosaic
from geolulc.nomenclature import CLC43
from geolulc.outputs.options import OutputOptions

#: The raster beside map.tif that a mosaic reads too.
BESIDE = {"cells": "uncertainty", "pixels": "top3"}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def attempt(kind: str, paths: list[Path], out: Path, overwrite: bool = False, **c: Any) -> None:
    output = OutputOptions((MAIN[kind], "observations"))
    make_mosaic(paths, out, MosaicOptions(**c), output, overwrite=overwrite)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["geolulc", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0)


def write_third(kind: str, folder: Path, name: str = "c", **changes: Any) -> Path:
    """A map a little to the east of the others."""
    left = 624_000.0 if kind == "cells" else 603_000.0
    return write_flat(kind, folder, name, 100, 90, 60, left=left, **changes)


@pytest.fixture
def maps(kind: str, tmp_path: Path) -> Path:
    """Two maps side by side."""
    folder = tmp_path / "maps"
    folder.mkdir()
    if kind == "cells":
        write_field(folder, made_field(name="a"))
        write_field(folder, made_field(618_600.0, name="b"))
    else:
        for number, name in enumerate("ab"):
            header = pixel_header(600_000.0 + 2_000 * number, name=name)
            steps = made_pixels(header, seed=number)
            write_pixels(folder, header, steps, ("classes", "confidence", "top3"))
    return folder


def test_a_damaged_map_is_named(
    kind: str,
    maps: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = maps / ("b.tif" if kind == "cells" else "b_top3.tif")
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


def test_a_truncated_map_is_named(kind: str, maps: Path, tmp_path: Path) -> None:
    path = maps / "b.tif"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(GeolulcError, match=r"b\.tif"):
        attempt(kind, [maps], tmp_path / "mosaic.tif")


def test_a_raster_of_others_is_named(kind: str, maps: Path, tmp_path: Path) -> None:
    other = maps / "c.tif"
    with rasterio.open(
        other, "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8", crs="EPSG:32632",
        transform=from_origin(0, 0, 10, 10),
    ) as dataset:  # fmt: skip
        dataset.write(np.ones((1, 4, 4), np.uint8))
    with pytest.raises(OutputError, match=r"c\.tif: found a raster without geolulc's tags"):
        attempt(kind, [maps], tmp_path / "mosaic.tif")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda folder: folder / "nowhere.tif", "nowhere.tif"),
        (lambda folder: folder / "nothing", "nothing there"),
        (lambda folder: folder, "a folder without .tif"),
        (lambda folder: write(folder / "notes.pdf", b"x"), "a file of another kind"),
        (lambda folder: write(folder / "list.txt", b"gone.tif\n"), "gone.tif"),
        (lambda folder: write(folder / "list.txt", b"# none\n"), r"list\.txt: found no path in it"),
        (lambda folder: write(folder / "list.txt", b"\xff\xfe\x00"), "bytes that are no UTF-16"),
    ],
)
def test_what_is_no_map(tmp_path: Path, make: Any, match: str) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(GeolulcError, match=match):
        attempt("cells", [make(folder)], tmp_path / "mosaic.tif")


def write(path: Path, text: bytes) -> Path:
    path.write_bytes(text)
    return path


def test_a_list_of_maps(kind: str, maps: Path, tmp_path: Path) -> None:
    text = f"# two\nmaps/a.tif\n\n{maps / 'b.tif'}\n"
    listed = write(tmp_path / "list.txt", text.encode())
    attempt(kind, [listed], tmp_path / "mosaic.tif")
    with rasterio.open(tmp_path / "mosaic.tif") as dataset:
        assert dataset.shape == ((30, 71) if kind == "cells" else (120, 280))


def test_only_other_rasters_of_maps(kind: str, maps: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="none among 1 rasters of maps"):
        attempt(kind, [maps / f"a_{BESIDE[kind]}.tif"], tmp_path / "mosaic.tif")


def test_a_mosaic_is_no_map_of_a_scene(kind: str, maps: Path, tmp_path: Path) -> None:
    attempt(kind, [maps], tmp_path / "mosaic.tif")
    with pytest.raises(OutputError, match=r"mosaic\.tif: found a mosaic"):
        attempt(kind, [maps, tmp_path / "mosaic.tif"], tmp_path / "another.tif")
    # but one that is being replaced is not among its own maps
    attempt(kind, [maps], maps / "mosaic.tif")
    (maps / "mosaic_observations.tif").unlink()
    attempt(kind, [maps], maps / "mosaic.tif", overwrite=True)


def test_a_map_of_the_folder_is_not_replaced_by_its_mosaic(
    kind: str, maps: Path, tmp_path: Path
) -> None:
    (tmp_path / "list.txt").write_text("maps/a.tif\nmaps/b.tif\n")
    before = {path: path.read_bytes() for path in maps.iterdir()}
    for paths in ([maps], [tmp_path / "list.txt"], sorted(maps.glob("?.tif"))):
        for name in ("a.tif", f"a_{BESIDE[kind]}.tif"):
            with pytest.raises(OutputError, match=r"this run reads.*Give another path"):
                attempt(kind, paths, maps / name, overwrite=True)
    assert {path: path.read_bytes() for path in maps.iterdir()} == before


def test_a_map_twice(kind: str, maps: Path, tmp_path: Path) -> None:
    for path in maps.glob("a*.tif"):
        shutil.copy(path, tmp_path / path.name.replace("a", "again", 1))
    with pytest.raises(ParameterError, match=r"again\.tif: found the map that .*a\.tif holds"):
        attempt(kind, [maps, tmp_path / "again.tif"], tmp_path / "mosaic.tif")


def test_rasters_of_another_map(kind: str, maps: Path, tmp_path: Path) -> None:
    name = BESIDE[kind]
    shutil.copy(maps / f"a_{name}.tif", maps / f"b_{name}.tif")
    with pytest.raises(OutputError, match=rf"b_{name}\.tif: found {name} of another map"):
        attempt(kind, [maps], tmp_path / "mosaic.tif")


def test_other_classes_are_named(kind: str, maps: Path, tmp_path: Path) -> None:
    if kind == "pixels":
        for name in ("a", "b"):
            for path in maps.glob(f"{name}*"):
                path.unlink()
        write_flat(kind, maps, "a", 200, 30, 20)
    write_third(kind, maps, classes=(*CLASSES[:2], "Inland waters"))
    with pytest.raises(
        ParameterError, match=r"c\.tif: found other classes \(Inland waters, Marine waters\)"
    ):
        attempt(kind, [maps], tmp_path / "mosaic.tif")
    write_third(kind, maps, classes=("Vineyards", "Rice fields", "Airports"), nomenclature=CLC43)
    with pytest.raises(ParameterError, match=r"c\.tif: found the nomenclature clc43"):
        attempt(kind, [maps], tmp_path / "mosaic.tif")


def test_different_models_only_when_asked_for(kind: str, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    for name in "ab":
        write_flat(kind, maps, name, 200, 30, 20 if name == "a" else 10)
    write_third(kind, maps, model={"name": "new", "sha256": "1" * 64})
    out = tmp_path / "mosaic.tif"
    with pytest.raises(ParameterError, match=r"c\.tif: .*111111111111.*--allow-different-models"):
        attempt(kind, [maps], out)
    attempt(kind, [maps], out, mixed_models=True)
    described = describe_map(out)
    assert described["mosaic"]["models"] == "2"
    assert described["model"]["name"] == "made, new"


def test_thresholds_of_models_are_averaged(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    models = ("0" * 64, "0" * 64, "1" * 64, "2" * 64)
    thresholds = ((0.4, 0.5, 0.6), (0.4, 0.5, 0.6), (0.6, 0.5, 0.4), (0.4, 0.5, 0.9))
    for number, (sha256, limits) in enumerate(zip(models, thresholds, strict=True)):
        made = made_field(600_000.0 + 6_000 * number, name=f"m{number}")
        model = {"name": f"n{sha256[0]}", "sha256": sha256}
        write_field(maps, changed(made, model=model, thresholds=limits))
    out = tmp_path / "mosaic.tif"
    # by model, though two of four maps agree
    attempt("cells", [maps], out, mixed_models=True)
    header = read_map(out).header
    np.testing.assert_allclose(header.thresholds, (1.4 / 3, 0.5, 1.9 / 3), atol=1e-6)
    assert header.model["name"] == "n0, n1, n2"


@pytest.mark.parametrize("kind", ["cells"])
def test_shares_beyond_1_are_damage(kind: str, maps: Path, tmp_path: Path) -> None:
    path = maps / "a_uncertainty.tif"
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        valid = dataset.descriptions.index("Valid share") + 1
        dataset.write(np.full(dataset.shape, 7, np.float32), valid)
    with pytest.raises(OutputError, match=r"a_uncertainty\.tif: found a damaged file \(shares"):
        attempt(kind, [maps], tmp_path / "mosaic.tif")


@pytest.mark.parametrize("kind", ["pixels"])
@pytest.mark.parametrize(
    ("band", "value", "match"),
    [(1, 200, "a code that is none of its classes"), (5, 252, "probabilities outside 0 to 1")],
)
def test_values_of_no_class_are_damage(
    kind: str, maps: Path, tmp_path: Path, band: int, value: int, match: str
) -> None:
    path = maps / "a_top3.tif"
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.write(np.full(dataset.shape, value, np.uint8), band)
    with pytest.raises(OutputError, match=rf"a_top3\.tif: found a damaged file \({match}"):
        attempt(kind, [maps], tmp_path / "mosaic.tif")


def test_what_exists_is_not_touched(kind: str, maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "mosaic.tif"
    out.write_text("mine")
    with pytest.raises(OutputError, match="it exists"):
        attempt(kind, [maps / "a.tif", maps / "nowhere.tif"], out)  # before all maps are read
    assert out.read_text() == "mine"


@pytest.mark.parametrize("kind", ["cells"])
@pytest.mark.parametrize("by", [None, "year"])
def test_object_storage_through_gdal_is_refused(
    maps: Path,
    by: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = "/vsis3/bucket/here"
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
        ("--vector-format", "shapefile"),
    ],
)
def test_wrong_usage(
    tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "mosaic", "a.tif", "--out", tmp_path / "m.tif", *arguments) == 2


# forks: rasterio and pandas are loaded once
FORKS = """
import os, resource, signal, sys
from itertools import count
from pathlib import Path
from geolulc.errors import OutputError
from geolulc.mosaics import MosaicOptions, make_mosaic
from geolulc.mosaics import blocks
from geolulc.outputs.options import OutputOptions
import geolulc.outputs.writing, geolulc.outputs.report, pyogrio, geopandas

kind, maps, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
combine = f"combine_{kind}"
main = "probabilities" if kind == "cells" else "classes"

def start(out, outputs, limit=None, killed_at=None):
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        if killed_at is not None:
            plain, calls = getattr(blocks, combine), count()
            kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
            setattr(blocks, combine, lambda *a: (next(calls) == killed_at and kill(), plain(*a))[1])
            blocks.BLOCKS = {False: 16, True: 64}
            blocks._BUDGET = 20_000
        options = MosaicOptions(crs="EPSG:3035" if kind == "cells" else None)
        make_mosaic([maps], out, options, OutputOptions(outputs))
        code = 0
    except OutputError as error:
        code = 7 if "Free some space" in str(error) else 8
    finally:
        os._exit(code)

limits = {"cells": [("probabilities", 3_000), ("probabilities", 8_000)],
          "pixels": [("classes", 3_000), ("top3", 9_000)]}
for output, limit in [*limits[kind], ("vectors", 60_000), ("stac", 500)]:
    there = folder / f"{output}{limit}"
    there.mkdir()
    code = os.waitstatus_to_exitcode(os.waitpid(start(there / "m.tif", (output,), limit), 0)[1])
    print("full", output, limit, code, *sorted(os.listdir(there)), flush=True)
out = folder / "killed" / "m.tif"
out.parent.mkdir()
for block in (0, 1, 2, 3):
    code = os.waitstatus_to_exitcode(os.waitpid(start(out, None, killed_at=block), 0)[1])
    print("killed", code, *(n for n in os.listdir(out.parent) if n[0] != "."), flush=True)
code = os.waitstatus_to_exitcode(os.waitpid(start(out, (main,)), 0)[1])
print("again", code, *sorted(os.listdir(out.parent)), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and limits the size of files")
def test_full_disks_and_kills_leave_nothing_that_looks_complete(
    kind: str, maps: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, kind, str(maps), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 9
    for line in lines:
        if line[0] == "full":
            assert line[3:] == ["7"], line  # an OutputError, and an empty folder
        if line[0] == "killed":
            assert line == ["killed", str(-signal.SIGKILL)]
    more = ["m.tif.aux.xml"] if kind == "pixels" else []
    assert lines[-1] == ["again", "0", "m.qml", "m.tif", *more]
