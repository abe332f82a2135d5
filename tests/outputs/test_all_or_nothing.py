"""One call writes all files of a map, or none; a newer map leaves nothing of an older one."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import rasterio
from made_map import made_map

from geolulc.errors import OutputError
from geolulc.outputs import OUTPUTS, OutputOptions, plan_outputs, write_map


def test_map_tif_comes_last() -> None:
    for vector_format in ("gpkg", "parquet", "flatgeobuf"):
        paths = plan_outputs(Path("map.tif"), OUTPUTS, vector_format=vector_format)
        assert list(paths)[-1] == "probabilities"
        names = [path.name for path in paths.values()]
        assert len(set(names)) == len(names)
        assert all(name.startswith("map") for name in names)


def test_what_is_written_is_what_was_planned(tmp_path: Path) -> None:
    for i, vector_format in enumerate(("gpkg", "parquet", "flatgeobuf")):
        folder = tmp_path / str(i)
        folder.mkdir()
        options = OutputOptions(OUTPUTS, vector_format=vector_format)
        paths = write_map(made_map(), folder / "map.tif", options=options)
        assert {p.name for p in folder.iterdir()} == {p.name for p in paths.values()}
        planned = options.plan(folder / "map.tif", model=False)
        assert paths == planned


def test_a_newer_map_leaves_nothing_of_the_older(tmp_path: Path) -> None:
    out = tmp_path / "map.tif"
    write_map(made_map(), out, outputs=OUTPUTS)
    (tmp_path / "map_notes.txt").write_text("mine")
    (tmp_path / "map.tif.aux.xml").write_text("<PAMDataset/>")  # QGIS leaves such statistics
    paths = write_map(made_map(seed=1), out, outputs=["probabilities", "picture"], overwrite=True)
    assert {p.name for p in tmp_path.iterdir()} == {
        *(p.name for p in paths.values()),
        "map_notes.txt",
    }
    with rasterio.open(out) as dataset:
        assert dataset.tags()["GEOLULC_FILES"] == '["map.png", "map.qml", "map.tif"]'


def test_tags_cannot_point_at_other_files(tmp_path: Path) -> None:
    out = tmp_path / "maps" / "map.tif"
    out.parent.mkdir()
    write_map(made_map(), out, outputs=["probabilities"])
    (tmp_path / "map.txt").write_text("mine")
    (tmp_path / "maps" / "other.txt").write_text("mine")
    with rasterio.open(out, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(GEOLULC_FILES='["../map.txt", "other.txt", "map/../../map.txt", 7]')
    write_map(made_map(), out, outputs=["probabilities"], overwrite=True)
    assert (tmp_path / "map.txt").read_text() == "mine"
    assert (tmp_path / "maps" / "other.txt").read_text() == "mine"


WRITER = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from made_map import made_map
    from geolulc.grid import TileGrid
    from geolulc.outputs import write_map
    {prelude}
    tile = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 30_000, 30_000)
    print("ready", flush=True)
    write_map(made_map(tile, stride=240), Path({out!r}), outputs={outputs!r})
"""


def writer(out: Path, prelude: str = "", outputs: Sequence[str] = OUTPUTS) -> subprocess.Popen[str]:
    tests = str(Path(__file__).parents[1])
    code = textwrap.dedent(WRITER).format(
        tests=tests, out=str(out), prelude=prelude, outputs=outputs
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_writer_leaves_nothing_and_a_rerun_succeeds(tmp_path: Path) -> None:
    out = tmp_path / "map.tif"
    process = writer(out)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 60
    while not any(tmp_path.rglob("*.qml")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert [p for p in tmp_path.iterdir() if not p.name.startswith(".")] == []
    paths = write_map(made_map(), out)
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in paths.values()}


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
@pytest.mark.parametrize(
    ("output", "limit"),
    [
        ("probabilities", 5_000),
        ("probabilities", 100_000),
        ("classes", 2_000),
        ("vectors", 50_000),
        ("vectors", 400_000),
        ("picture", 5_000),
        ("report", 50_000),
        ("stac", 1_000),
    ],
)
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, output: str, limit: int) -> None:
    prelude = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    )
    process = writer(tmp_path / "map.tif", prelude, outputs=[output])
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert OutputError.__name__ in errors.splitlines()[-1], errors[-2000:]
    assert list(tmp_path.iterdir()) == []


def test_the_folder_must_be_there_and_writable(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no folder .*nowhere"):
        write_map(made_map(), tmp_path / "nowhere" / "map.tif")
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    try:
        with pytest.raises(OutputError, match="read-only"):
            write_map(made_map(), locked / "map.tif")
    finally:
        locked.chmod(0o755)
    assert list(locked.iterdir()) == []
