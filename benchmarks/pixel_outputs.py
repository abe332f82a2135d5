"""Time and peak memory of each output of a map at pixel precision, from made strips, in one run.

    python benchmarks/pixel_outputs.py [--sizes 2745 5490 10980] [--outputs classes …] [--json FILE]

Strips of 19 classes come from a landscape of 9 × 9 km that is laid side by side. Each line is a
process of its own: seconds and peak memory of ``write_map`` with that output alone, beside
those of taking the strips and doing nothing ("source"). "default" is what is written unasked.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from geolulc.grid import Extent, Grid, TileGrid
from geolulc.maps.encoding import FULL
from geolulc.maps.header import MapBlock, MapHeader
from geolulc.nomenclature import BEN19
from geolulc.outputs import OutputOptions, SceneStory, write_map
from geolulc.outputs.files import MapKind, output_names

#: Pixels along the landscape, and rows of a strip.
SIDE, STRIP = 915, 120
#: Pixels along a typical patch of one class.
PATCH = 30.0


def landscape(seed: int = 0) -> NDArray[np.uint8]:
    """Probabilities uint8 (class, SIDE, SIDE) with patches and speckle."""
    rng = np.random.default_rng(seed)
    logits = np.empty((len(BEN19), SIDE, SIDE), np.float32)
    cells = int(SIDE / PATCH) + 3
    for layer in logits:
        layer[:] = zoom(rng.standard_normal((cells, cells)), PATCH, order=1)[:SIDE, :SIDE] * 5
        layer += gaussian_filter(rng.standard_normal((SIDE, SIDE)), 1.0) * 2
    p = np.exp(logits - logits.max(axis=0))
    return np.round(p / p.sum(axis=0) * FULL).astype(np.uint8)


def strips(size: int) -> Iterator[MapBlock]:
    """A map of ``size`` × ``size`` pixels: the landscape, again and again."""
    ground = landscape()
    times = -(-size // SIDE)
    for row in range(0, size, STRIP):
        rows = np.arange(row, min(row + STRIP, size)) % SIDE
        yield MapBlock(row, 0, np.tile(ground[:, rows], (1, 1, times))[:, :, :size])


def measure(size: int, output: str) -> dict[str, object]:
    """Seconds, MiB of memory at the most and MB of files of one output, in this process."""
    side = -(-size // 6) * 60
    tile = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, side, side)
    extent = Extent(tile.crs, tile.left, tile.top, 10 * size, 10 * size)
    header = MapHeader(
        Grid(extent, 10, tile),
        BEN19.names,
        BEN19,
        exclusive=True,
        scene={"name": "made", "sensing_time": "2024-06-25T10:10:31Z"},
        model={"name": "made", "sha256": "0" * 64},
    )
    begun = time.perf_counter()
    files = 0
    if output == "source":
        for _ in strips(size):
            pass
    else:
        options = OutputOptions(None if output == "default" else (output,))
        with tempfile.TemporaryDirectory(dir=".") as folder:
            out = Path(folder) / "map.tif"
            paths = write_map(header, strips(size), out, story=SceneStory(), options=options)
            files = sum(path.stat().st_size for path in paths.values())
    return {
        "size": size,
        "output": output,
        "seconds": round(time.perf_counter() - begun, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "files_mb": round(files / 1e6, 1),
    }


def main() -> None:
    """Measure each size and output in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[2745, 5490, 10980])
    parser.add_argument(
        "--outputs", nargs="+", default=["source", *output_names(MapKind.PIXELS), "default"]
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.sizes[0], arguments.outputs[0])))
        return
    print(f"{'pixels':>7} {'output':14} {'seconds':>8} {'peak MiB':>9} {'files MB':>9}")
    results = []
    for size in arguments.sizes:
        for output in arguments.outputs:
            command = [sys.executable, __file__, "--one", "--sizes", str(size)]
            done = subprocess.run(
                [*command, "--outputs", output], check=True, capture_output=True, text=True
            )
            r = json.loads(done.stdout)
            results.append(r)
            print(
                f"{size:7} {output:14} {r['seconds']:8.1f} {r['peak_mib']:9} {r['files_mb']:9.1f}",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
