"""Reading and mapping one scene through each door: time, bytes and memory, side by side.

    python benchmarks/read_doors.py SCENE.SAFE [--bands B04,B8A,B01] [--threads 2] [--chunk 1830]
                                    [--map]

Makes the twins of the scene in a temporary folder: COGs with their STAC Item (deflate, blocks of
1024), and EOPF Zarr (chunks of 18.3 km, blosc with zstd at level 3, as the sample service has
them). Reads every tile of the bands, and of the scene classification, from JPEG 2000, COG and Zarr
on the disk, and from COG and Zarr on a server on loopback, each in a process of its own. Prints a
line each: seconds, CPU seconds, megapixels a second, bytes on the disk or received, the largest
memory of the process, and the CPU time of JPEG 2000 over its own. Pixels are compared.
``--map`` (with all bands) runs ``geolulc map`` with the shipped model of patches through each door
instead, and compares the bytes of the maps. ``make_safe.py`` of the shared tools, or
``examples/make_scene.py``, makes a scene.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import subprocess
import sys
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / folder) for folder in ("tests", "examples")]

from made_items import write_item  # noqa: E402
from made_server import serving  # noqa: E402
from made_zarr import write_zarr  # noqa: E402

from geolulc.bands import BAND_NAMES  # noqa: E402
from geolulc.cli import cli  # noqa: E402
from geolulc.products import open_scene  # noqa: E402


def read_all(place: str, bands: list[str], threads: int) -> dict[str, float]:
    """Seconds, CPU seconds, pixels, a sum that tells the pixels, MB of memory, bytes received."""
    scene = open_scene(place, allow_internal=True)
    names = [name for name in (*bands, "SCL") if name in scene.images]
    with (
        scene.opened(names, verify=False) as images,
        ThreadPoolExecutor(threads) as pool,
    ):
        start, spent = time.perf_counter(), time.process_time()

        def read(where: tuple[str, int, int]) -> tuple[int, int]:
            image = images[where[0]]
            rows, columns = image.tiling.rows(where[1]), image.tiling.columns(where[2])
            out = np.empty((rows.stop - rows.start, columns.stop - columns.start), image.dtype)
            image.read(where[1], where[2], out)
            return out.size, int(out.sum(dtype=np.uint64))

        places = [
            (name, row, column)
            for name, image in images.items()
            for row in range(image.tiling.counts[0])
            for column in range(image.tiling.counts[1])
        ]
        found = list(pool.map(read, places))
    return {
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - spent,
        "pixels": sum(n for n, _ in found),
        "sum": sum(total for _, total in found),
        "memory": peak_memory(),
        "received": getattr(scene, "received", 0),
    }


def map_all(place: str) -> dict[str, float]:
    """The same of ``geolulc map``; ``sum`` is of the bytes of the map."""
    start, spent = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as said:
        out = Path(folder) / "map.tif"
        command = ["map", place, "--out", str(out), "--allow-internal", "--quiet", "--json"]
        cli(command, standalone_mode=False)
        made = zlib.crc32(out.read_bytes())
    return {
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - spent,
        "sum": made,
        "memory": peak_memory(),
        "received": json.loads(said.getvalue())[0].get("bytes_received", 0),
    }


def peak_memory() -> float:
    """MB of this process at most; what ``getrusage`` says can be the parent's."""
    said = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(said[1]) / 1e3 if said else 0.0


def apart(place: str, given: argparse.Namespace) -> dict[str, float]:
    """``read_all`` or ``map_all`` in another process."""
    command = [sys.executable, __file__, place, "--bands", given.bands, "--only"]
    done = subprocess.run(
        [*command, "--threads", str(given.threads), *["--map"] * given.map],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return dict(json.loads(done.stdout))


def size_of(path: Path, bands: list[str]) -> int:
    """Bytes of the files of the bands: other files of a product are not read."""
    wanted = {*bands, "SCL"}
    return sum(
        file.stat().st_size
        for file in path.rglob("*")
        if file.is_file()
        and wanted & {part.upper() for part in file.stem.split("_")}
        | wanted & {parent.name.upper() for parent in file.parents}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene")
    parser.add_argument("--bands", default=",".join(BAND_NAMES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--chunk", type=int, default=1830, help="side at 10 m; 305 at 60 m")
    parser.add_argument("--map", action="store_true", help="map it instead of reading it")
    parser.add_argument("--only", action="store_true", help="read this one, and print JSON")
    given = parser.parse_args()
    bands = given.bands.split(",")
    if given.only:
        only = map_all(given.scene) if given.map else read_all(given.scene, bands, given.threads)
        print(json.dumps(only))
        return
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        chunks = {10: given.chunk, 20: given.chunk // 2, 60: given.chunk // 6}
        zarr = write_zarr(Path(given.scene), Path(folder) / "s.zarr", chunks=chunks, names=bands)
        item = write_item(
            Path(given.scene), Path(folder) / "cog", visual=False, names=bands, block=1024
        )
        for file in Path(folder).rglob("*"):
            if file.is_file():
                server.files[f"/{file.relative_to(folder).as_posix()}"] = file.read_bytes()
        doors = {
            "JPEG 2000": (given.scene, Path(given.scene)),
            "COG": (str(item), item.parent),
            "EOPF Zarr": (str(zarr), zarr),
            "COG, HTTP": (f"{server.url}/cog/item.json", None),
            "EOPF Zarr, HTTP": (f"{server.url}/s.zarr", None),
        }
        first: dict[str, float] = {}
        for name, (place, files) in doors.items():
            found = apart(place, given)
            first = first or found
            assert found["sum"] == first["sum"], "other pixels"
            size = found["received"] if files is None else size_of(files, bands)
            pixels = found.get("pixels", 0) / 1e6
            rate = f"{pixels / found['seconds']:6.1f} Mpx/s  " if pixels else ""
            print(
                f"{name:16}{found['seconds']:7.1f} s  CPU {found['cpu']:6.1f} s  {rate}"
                f"{size / 1e6:6.0f} MB  memory {found['memory']:5.0f} MB  "
                f"{first['cpu'] / found['cpu']:5.1f} × JPEG 2000",
                flush=True,
            )


if __name__ == "__main__":
    main()
