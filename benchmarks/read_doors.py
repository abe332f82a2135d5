"""Reading one scene through each door: time, bytes and memory of JPEG 2000, EOPF Zarr.

    python benchmarks/read_doors.py SCENE.SAFE [--threads 2] [--chunk 1830]

Makes the twin of the scene in EOPF Zarr (chunks of 18.3 km, blosc with zstd at level 3, as the
sample service has them) in a temporary folder, reads every tile of every band and of the scene
classification through both, and prints one line each: seconds, CPU seconds, megapixels a second,
bytes on the disk, and the ratio to JPEG 2000. Pixels are compared. ``make_safe.py`` of the shared
tools, or ``examples/make_scene.py``, makes a scene.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / folder) for folder in ("tests", "examples")]

from made_zarr import write_zarr  # noqa: E402

from geolulc.bands import BAND_NAMES  # noqa: E402
from geolulc.products import open_scene  # noqa: E402


def read_all(path: Path, threads: int) -> tuple[float, float, int, int]:
    """Seconds, CPU seconds, pixels, and a sum that tells the pixels."""
    scene = open_scene(path)
    names = [name for name in (*BAND_NAMES, "SCL") if name in scene.images]
    with (
        scene.opened(names, verify=False) as images,
        ThreadPoolExecutor(threads) as pool,
    ):
        start, spent = time.perf_counter(), time.process_time()

        def read(place: tuple[str, int, int]) -> tuple[int, int]:
            image = images[place[0]]
            rows, columns = image.tiling.rows(place[1]), image.tiling.columns(place[2])
            out = np.empty((rows.stop - rows.start, columns.stop - columns.start), image.dtype)
            image.read(place[1], place[2], out)
            return out.size, int(out.sum(dtype=np.uint64))

        places = [
            (name, row, column)
            for name, image in images.items()
            for row in range(image.tiling.counts[0])
            for column in range(image.tiling.counts[1])
        ]
        found = list(pool.map(read, places))
    seconds, cpu = time.perf_counter() - start, time.process_time() - spent
    return seconds, cpu, sum(n for n, _ in found), sum(total for _, total in found)


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--chunk", type=int, default=1830, help="side at 10 m; 305 at 60 m")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chunks = {10: given.chunk, 20: given.chunk // 2, 60: given.chunk // 6}
        zarr = write_zarr(given.scene, Path(folder) / "scene.zarr", chunks=chunks)
        doors = {"JPEG 2000": given.scene, "EOPF Zarr": zarr}
        first, total = 0.0, None
        for name, path in doors.items():
            seconds, cpu, pixels, found = read_all(path, given.threads)
            first, total = first or cpu, found if total is None else total
            assert found == total, "other pixels"
            print(
                f"{name:10} {seconds:6.1f} s  CPU {cpu:6.1f} s  {pixels / 1e6 / seconds:6.1f} Mpx/s"
                f"  {size_of(path) / 1e6:6.0f} MB  {first / cpu:5.1f} × JPEG 2000 a core"
            )


if __name__ == "__main__":
    main()
