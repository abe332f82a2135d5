"""One call writes all files of a map, or none; a newer map leaves nothing of an older one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import rasterio
from made_map import made_map, save_map
from made_pixel_map import made_pixel_map
from small_disk import small_files

from geolulc.errors import OutputError
from geolulc.grid import TileGrid
from geolulc.outputs import OutputOptions
from geolulc.outputs.files import MapKind, output_names

SMALL = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 2_400, 1_800)
KINDS = {
    "cells": (made_map, output_names(MapKind.CELLS), "probabilities"),
    "pixels": (partial(made_pixel_map, SMALL), output_names(MapKind.PIXELS), "classes"),
}
kinds = pytest.mark.parametrize("kind", list(KINDS))
formats = pytest.mark.parametrize("vector_format", ["gpkg", "parquet", "flatgeobuf"])


@formats
@pytest.mark.parametrize("kind", list(MapKind))
def test_map_tif_comes_last(vector_format: str, kind: MapKind) -> None:
    options = OutputOptions(output_names(kind), vector_format=vector_format)
    exclusive = kind in (MapKind.PIXELS, MapKind.PIXEL_MOSAIC)
    mosaic = kind in (MapKind.CELL_MOSAIC, MapKind.PIXEL_MOSAIC)
    paths = options.plan(Path("a/map.tif"), exclusive=exclusive, mosaic=mosaic)
    main = "classes" if exclusive else "probabilities"
    assert list(paths.items())[-1] == (main, Path("a/map.tif"))
    names = [path.name for path in paths.values()]
    assert len(set(names)) == len(names)
    assert all(name.startswith("map") for name in names)


@formats
@kinds
def test_what_is_written_is_what_was_planned(tmp_path: Path, vector_format: str, kind: str) -> None:
    make, outputs, _ = KINDS[kind]
    out = tmp_path / "map.tif"
    paths = save_map(make(), out, *outputs, vector_format=vector_format)
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in paths.values()}
    options = OutputOptions(outputs, vector_format=vector_format)
    assert paths == options.plan(out, exclusive=kind == "pixels", model=False)


@kinds
def test_a_newer_map_leaves_nothing_of_the_older(tmp_path: Path, kind: str) -> None:
    make, outputs, main = KINDS[kind]
    out = tmp_path / "map.tif"
    save_map(make(), out, *outputs)
    (tmp_path / "map_notes.txt").write_text("mine")
    # QGIS leaves such statistics and overviews
    (tmp_path / ("map.tif.ovr" if kind == "pixels" else "map.tif.aux.xml")).write_text("")
    paths = save_map(make(seed=1), out, main, "picture", overwrite=True)
    assert {p.name for p in tmp_path.iterdir()} == {
        *(p.name for p in paths.values()),
        "map_notes.txt",
    }
    with rasterio.open(out) as dataset:
        assert json.loads(dataset.tags()["GEOLULC_FILES"]) == sorted(p.name for p in paths.values())


def test_tags_cannot_point_at_other_files(tmp_path: Path) -> None:
    out = tmp_path / "maps" / "map.tif"
    out.parent.mkdir()
    save_map(made_map(), out, "probabilities")
    (tmp_path / "map.txt").write_text("mine")
    (tmp_path / "maps" / "other.txt").write_text("mine")
    for tag in ('["../map.txt", "other.txt", "map/../../map.txt", 7]', "7", "[" * 9_000):
        with rasterio.open(out, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
            dataset.update_tags(GEOLULC_FILES=tag)
        save_map(made_map(), out, "probabilities", overwrite=True)
    assert (tmp_path / "map.txt").read_text() == "mine"
    assert (tmp_path / "maps" / "other.txt").read_text() == "mine"


WRITER = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from made_map import made_map, save_map
    from made_pixel_map import made_pixel_map
    from geolulc.grid import TileGrid
    tile = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 30_000, 30_000)
    made = made_map(tile, stride=240) if {kind!r} == "cells" else made_pixel_map()
    print("ready", flush=True)
    save_map(made, Path({out!r}), *{outputs!r})
"""


def writer(kind: str, out: Path) -> subprocess.Popen[str]:
    tests = str(Path(__file__).parents[1])
    code = textwrap.dedent(WRITER).format(
        tests=tests, out=str(out), outputs=KINDS[kind][1], kind=kind
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@kinds
def test_a_killed_writer_leaves_nothing_and_a_rerun_succeeds(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "map.tif"
    process = writer(kind, out)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 60
    while not any(tmp_path.rglob("*.qml")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert [p for p in tmp_path.iterdir() if not p.name.startswith(".")] == []
    paths = save_map(KINDS[kind][0](), out)
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in paths.values()}


@pytest.fixture(scope="module")
def large_maps() -> Mapping[str, Any]:
    tile = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 30_000, 30_000)
    return {"cells": made_map(tile, stride=240), "pixels": made_pixel_map()}


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
@pytest.mark.parametrize(
    ("kind", "output", "limit"),
    [
        ("cells", "probabilities", 5_000),
        ("cells", "probabilities", 100_000),
        ("cells", "classes", 2_000),
        ("cells", "vectors", 50_000),
        ("cells", "vectors", 400_000),
        ("cells", "picture", 5_000),
        ("cells", "report", 50_000),
        ("cells", "stac", 1_000),
        ("pixels", "classes", 4_000),
        ("pixels", "classes", 100_000),
        ("pixels", "top3", 1_900_000),
        ("pixels", "vectors", 900_000),
    ],
)
def test_a_full_disk_is_said_and_leaves_nothing(
    large_maps: Mapping[str, Any], tmp_path: Path, kind: str, output: str, limit: int
) -> None:
    with small_files(limit), pytest.raises(OutputError, match="Free some space"):
        save_map(large_maps[kind], tmp_path / "map.tif", output)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_must_be_there_and_writable(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no folder .*nowhere"):
        save_map(made_map(), tmp_path / "nowhere" / "map.tif")
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    try:
        with pytest.raises(OutputError, match="read-only"):
            save_map(made_map(), locked / "map.tif")
    finally:
        locked.chmod(0o755)
    assert list(locked.iterdir()) == []
