"""Memory and time of ``geolulc mosaic`` as maps grow in number and ground.

    python benchmarks/mosaic.py --dates 4 16 64 --tiles 4 16
    python benchmarks/mosaic.py --pixels --dates 2 8 --tiles 4 16

Maps of 915 × 915 cells × 19 classes (a tile at 120 m) are made once and copied under other dates
(all on one tile: the mosaic stays the same) or other places (one date: the mosaic grows). Each
mosaic is a process of its own: "cores" are the seconds that all cores worked for it, MB its largest
resident set. With ``--pixels`` they are maps of 3,000 × 3,000 pixels of 10 m × 19 classes, of which
the files hold the three most probable.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from pixel_outputs import strips
from rasterio.transform import from_origin

from geolulc.grid import Grid, TileGrid
from geolulc.maps.header import MapBlock, MapHeader
from geolulc.nomenclature import BEN19
from geolulc.outputs import OutputOptions, SceneStory, write_map

SIZE = 109_800
#: Metres along a tile of pixels, and from one to the next: they overlap by 3 km.
PIXELS_SIZE, PIXELS_STEP = 30_000, 27_000
OUTPUTS = {
    False: "probabilities,classes,observations,confidence",
    True: "classes,confidence,top3,observations",
}
LEFT, TOP = 499_980.0, 5_200_020.0


def make_header(size: int, cell: int) -> MapHeader:
    """A map of ``size`` metres in cells of 120 m, or pixels of 10 m."""
    return MapHeader(
        Grid.over(TileGrid("EPSG:32632", LEFT, TOP, size, size), cell),
        BEN19.names,
        BEN19,
        exclusive=cell == 10,
        patch_size=None if cell == 10 else 1200,
        scene={"name": "template", "sensing_time": "2024-01-01T10:00:00Z"},
        model={"name": "made", "sha256": "0" * 64},
    )


def make_template(folder: Path, dtype: str) -> None:
    """One map with smooth probabilities and clouds, and its shares."""
    header = make_header(SIZE, 120)
    rng = np.random.default_rng(0)
    rows, columns = header.grid.shape
    y, x = np.mgrid[:rows, :columns] / 915
    waves = [
        np.sin(rng.uniform(5, 40) * x + rng.uniform(0, 6)) * np.cos(rng.uniform(5, 40) * y)
        for _ in BEN19.classes
    ]
    p = np.clip(0.4 + 0.4 * np.stack(waves) + rng.normal(0, 0.02, (19, rows, columns)), 0, 1)
    clear = np.clip(1.2 + np.sin(9 * x + 5 * y), 0, 1).astype(np.float32)
    block = MapBlock(0, 0, p.astype(np.float32), np.ones((rows, columns), np.float32), clear)
    options = OutputOptions(("probabilities", "uncertainty"), dtype=dtype)
    write_map(header, [block], folder / "template.tif", story=SceneStory(), options=options)


def make_pixel_template(folder: Path) -> None:
    """One map of pixels: patches and speckle."""
    blocks = strips(PIXELS_SIZE // 10)
    options = OutputOptions(("classes", "confidence", "top3"))
    header = make_header(PIXELS_SIZE, 10)
    write_map(header, blocks, folder / "template.tif", story=SceneStory(), options=options)


def copy_map(template: Path, out: Path, name: str, day: int, place: tuple[int, int]) -> None:
    """The template under another name, date and place (column, row)."""
    pixels = not template.with_name("template_uncertainty.tif").is_file()
    size, step, cell = (PIXELS_SIZE, PIXELS_STEP, 10) if pixels else (SIZE, 99_960, 120)
    left, top = LEFT + place[0] * step, TOP - place[1] * step
    for ending in ("", "_confidence", "_top3") if pixels else ("", "_uncertainty"):
        target = out / f"{name}{ending}.tif"
        shutil.copy(template.with_name(f"template{ending}.tif"), target)
        with rasterio.open(target, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
            dataset.transform = from_origin(left, top, cell, cell)
            date = np.datetime64("2024-01-01") + day
            dataset.update_tags(
                SCENE_NAME=name,
                SCENE_SENSING_TIME=f"{date}T10:00:00Z",
                TILE_EXTENT=json.dumps([left, top - size, left + size, top]),
                EXTENT=json.dumps([left, top - size, left + size, top]),
            )


def measure(maps: Path, out: Path, *options: str) -> tuple[float, float, float]:
    """(seconds, seconds of all cores, MB) of one mosaic."""
    command = [sys.executable, "-m", "geolulc", "mosaic", str(maps), "--out", str(out), "-q"]
    start = time.perf_counter()
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"mosaic failed with {process.returncode}")
    seconds = time.perf_counter() - start
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Make the maps, run, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dates", type=int, nargs="*", default=[4, 16, 64])
    parser.add_argument("--tiles", type=int, nargs="*", default=[4, 16])
    parser.add_argument("--outputs", help="of the mosaic  [default: its rasters]")
    parser.add_argument("--pixels", action="store_true", help="maps of pixels")
    parser.add_argument("--combine", default="mean")
    parser.add_argument("--crs", help="resample onto this CRS")
    parser.add_argument("--dtype", default="uint16", help="of the maps")
    parser.add_argument("--folder", type=Path, help="where to work  [default: a temporary folder]")
    parser.add_argument("--template", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.template:
        if arguments.pixels:
            make_pixel_template(arguments.template)
        else:
            make_template(arguments.template, arguments.dtype)
        return
    outputs = arguments.outputs or OUTPUTS[arguments.pixels]
    options = ["--outputs", outputs, "--combine", arguments.combine]
    options += ["--crs", arguments.crs] if arguments.crs else []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        # in a process of its own: a child's largest resident set counts its parent's at the fork
        command = [sys.executable, __file__, "--template", name, "--dtype", arguments.dtype]
        subprocess.run(command + ["--pixels"] * arguments.pixels, check=True)
        template = folder / "template.tif"
        print(
            f"{'maps':>5} {'of':>12} {'seconds':>8} {'cores':>8} {'s/map':>6} {'ratio':>6} "
            f"{'MB':>6} {'ratio':>6}"
        )
        for kind, counts in (("dates", arguments.dates), ("tiles", arguments.tiles)):
            first: tuple[float, float] | None = None
            for count in counts:
                maps = folder / f"{kind}{count}"
                maps.mkdir()
                side = int(np.ceil(np.sqrt(count)))
                for i in range(count):
                    place = (0, 0) if kind == "dates" else (i % side, i // side)
                    copy_map(template, maps, f"map{i}", i, place)
                out = folder / f"{kind}{count}.tif"
                seconds, busy, memory = measure(maps, out, *options)
                each = busy / count  # says more than seconds where other work is done too
                first = first or (each, memory)
                print(
                    f"{count:5} {kind:>12} {seconds:8.1f} {busy:8.1f} "
                    f"{each:6.2f} {each / first[0]:6.2f} "
                    f"{memory:6.0f} {memory / first[1]:6.2f}",
                    flush=True,
                )
                shutil.rmtree(maps)


if __name__ == "__main__":
    main()
