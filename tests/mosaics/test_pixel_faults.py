"""Full disks and kills while a mosaic of pixels is written: nothing that looks complete."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from made_pixel_map import made_header, made_pixels, strips

from geolulc.grid import TileGrid
from geolulc.outputs import OutputOptions, write_pixel_map

# forks: rasterio and pandas are loaded once
FORKS = """
import os, resource, signal, sys, time
from pathlib import Path
from geolulc.errors import OutputError
from geolulc.mosaics import MosaicOptions, MosaicOutput, make_mosaic
from geolulc.mosaics import pixel_blocks
import geolulc.mosaics.pixel_writing, geolulc.outputs.report, pyogrio, geopandas

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
            plain = pixel_blocks.combine_pixels
            pixel_blocks.combine_pixels = lambda *a: (time.sleep(slow), plain(*a))[1]
            pixel_blocks.BLOCK = 64
        make_mosaic([maps], out, MosaicOptions(), MosaicOutput(outputs))
        code = 0
    except OutputError as error:
        code = 7 if "Free some space" in str(error) else 8
    finally:
        os._exit(code)

for output, limit in [("classes", 3_000), ("top3", 9_000), ("vectors", 60_000), ("stac", 500)]:
    there = folder / f"{output}{limit}"
    there.mkdir()
    code = os.waitstatus_to_exitcode(os.waitpid(start(there / "m.tif", (output,), limit), 0)[1])
    print("full", output, limit, code, *sorted(os.listdir(there)), flush=True)
out = folder / "killed" / "m.tif"
out.parent.mkdir()
for i in range(3):
    child = start(out, MosaicOutput().outputs, slow=0.05)
    time.sleep(0.2 + 0.4 * i)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print("killed", *[n for n in os.listdir(out.parent) if not n.startswith(".")], flush=True)
code = os.waitstatus_to_exitcode(os.waitpid(start(out, ("classes",)), 0)[1])
print("again", code, *sorted(os.listdir(out.parent)), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and limits the size of files")
def test_full_disks_and_kills_leave_nothing_that_looks_complete(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    tile = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 6_000, 4_800)
    made = made_header(tile, 20)
    options = OutputOptions(("classes", "confidence", "top3"))
    write_pixel_map(made, strips(made_pixels(made)), maps / "a.tif", options=options)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, str(maps), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 8
    for line in lines:
        if line[0] == "full":
            assert line[3:] == ["7"], line  # an OutputError, and an empty folder
        if line[0] == "killed":
            assert line == ["killed"]
    assert lines[-1] == ["again", "0", "m.qml", "m.tif", "m.tif.aux.xml"]
