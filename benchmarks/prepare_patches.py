"""prepare against a loop that only opens and reads the same GeoTIFFs, and as the archive grows.

    python benchmarks/prepare_patches.py [--sizes 1000,4000] [--processes 2] [--rounds 2]

The archive is synthetic: 64 patches with the pixels and the compression of real ones (noise that
deflates to about 110 kB a patch), hard-linked under as many names as wanted. Both sides use the
same number of processes. The loop is ``rasterio.open`` and ``read`` of twelve files a patch;
``prepare`` reads them, checks them, writes the shards to the disk and makes index, statistics and
checksums. Printed are patches/s of both, their ratio, and the largest memory of any process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from made_archives import Groups, make_v1, v1_name

TEMPLATES = 64

PREPARE = """
import json, sys, time
from pathlib import Path
from geolulc.datasets import prepare_store
if __name__ == "__main__":
    start = time.perf_counter()
    manifest = prepare_store(Path(sys.argv[1]), Path(sys.argv[2]), workers=int(sys.argv[3]))
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "patches": manifest["patches"]["total"]}))
"""


def textured(index: int) -> Groups:
    """Smooth terrain and noise: as many bytes, deflated, as real patches."""
    rng = np.random.default_rng(index)
    groups: Groups = {}
    for resolution, bands in ((10, 4), (20, 6), (60, 2)):
        size = 1200 // resolution
        ramp = np.add.outer(np.arange(size), np.arange(size)) * resolution / 20
        noise = rng.normal(0, 40, (bands, size, size))
        groups[resolution] = (600 + ramp + noise).astype(np.uint16)
    return groups


def make_archive(folder: Path, templates: Path, patches: int) -> Path:
    """``patches`` patches, hard links to the files of the templates."""
    archive = folder / "BigEarthNet-v1.0"
    archive.mkdir(parents=True)
    members: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for index in range(patches):
        source = templates / v1_name(index % TEMPLATES)
        target = archive / v1_name(index)
        target.mkdir()
        for file in os.scandir(source):
            os.link(file.path, target / file.name.replace(source.name, target.name))
        members[("train", "train", "val", "test")[index % 4]].append(target.name)
    (folder / "splits").mkdir()
    for split, names in members.items():
        (folder / "splits" / f"{split}.csv").write_text("\n".join(names))
    return archive


def read_all(folders: list[str]) -> int:
    total = 0
    for folder in folders:
        for file in os.scandir(folder):
            if file.name.endswith(".tif"):
                with rasterio.open(file.path) as raster:
                    total += raster.read(1).size
    return total


def measure_floor(archive: Path, processes: int) -> float:
    """Patches/s of opening and reading; the start of the processes does not count."""
    folders = sorted(str(p) for p in archive.iterdir())
    parts = [folders[i : i + 32] for i in range(0, len(folders), 32)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(read_all, [folders[:1]] * processes * 2, chunksize=1)
        start = time.perf_counter()
        pool.map(read_all, parts, chunksize=1)
        return len(folders) / (time.perf_counter() - start)


def measure_prepare(archive: Path, store: Path, processes: int) -> dict[str, float]:
    """What PREPARE prints, and the memory and CPU of all its processes as /proc has them."""
    command = [sys.executable, "-c", PREPARE, str(archive), str(store), str(processes)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    memory: dict[int, float] = {}
    ticks: dict[int, int] = {}
    while process.poll() is None:
        for entry in Path("/proc").iterdir():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(stat[3]) == process.pid:  # the session
                    pid = int(entry.name)
                    ticks[pid] = int(stat[11]) + int(stat[12])
                    status = (entry / "status").read_text().splitlines()
                    peak = next(line for line in status if line.startswith("VmHWM"))
                    memory[pid] = int(peak.split()[1]) / 1024
            except (OSError, ValueError, IndexError, StopIteration):
                continue
        time.sleep(0.25)
    if process.returncode or process.stdout is None:
        raise SystemExit("prepare failed")
    with process.stdout:
        result = json.loads(process.stdout.read())
    shutil.rmtree(store)
    parent = memory.pop(process.pid)
    cpu = sum(ticks.values()) / os.sysconf("SC_CLK_TCK")
    workers = max(memory.values(), default=0)
    return result | {"parent_mb": parent, "worker_mb": workers, "cpu": cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,4000,16000")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--no-loop", action="store_true", help="prepare alone: how its cost grows")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        templates = make_v1(folder / "templates", TEMPLATES, dn=textured)
        size = sum(f.stat().st_size for f in templates.rglob("*.tif")) / TEMPLATES
        print(f"{size / 1e3:.0f} kB of GeoTIFF a patch, {options.processes} processes")
        for patches in map(int, options.sizes.split(",")):
            archive = make_archive(folder / str(patches), templates, patches)
            floors, runs = [], []
            for _ in range(options.rounds):
                if not options.no_loop:
                    floors.append(measure_floor(archive, options.processes))
                runs.append(measure_prepare(archive, folder / "store", options.processes))
            best = min(runs, key=lambda run: run["seconds"])
            rate = best["patches"] / best["seconds"]
            loop = ""
            if floors:
                share = rate / max(floors)
                loop = f" = {share:.2f} × the loop's {max(floors):.0f}/s (wanted 0.8)"
            print(
                f"{patches:6} patches: {rate:6.0f}/s{loop}; {1e3 * best['cpu'] / patches:.1f} ms "
                f"CPU a patch; memory {best['parent_mb']:.0f} MB, "
                f"workers {best['worker_mb']:.0f} MB each",
                flush=True,
            )
            shutil.rmtree(folder / str(patches))


if __name__ == "__main__":
    main()
