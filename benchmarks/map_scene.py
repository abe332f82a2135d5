"""Mapping a scene against its floors and against what users do today, side by side in one run.

    python benchmarks/map_scene.py SCENE [--stride 1200 …] [--rows N] [--model M] [--torchgeo]

The network is a ResNet18 with early fusion and fresh weights, or ``--model``. Floors: decoding
alone and the forward pass alone, with the same libraries, threads and network. Ours includes
writing the default outputs; of its CPU time, the shares of decoding, of radiometry and cutting
(the transfer), of the forward pass and of writing are printed.
What users do: windows through rasterio row by row with the block cache; TorchGeo's Sentinel2
dataset with GridGeoSampler where it is installed. ``--rows`` maps only the first rows of cells
(all ways alike) and says what a whole tile would take by their share.

``--memory`` runs ``geolulc map`` itself over the same rows, in a process of its own for each
stride and way, and prints the peak of its memory.

Prints one line a way with its ratios; ``--json FILE`` keeps them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely
import torch
from rasterio.windows import Window

from geolulc.bands import BAND_NAMES, GROUPS, RESOLUTIONS, SENTINEL2
from geolulc.grid import MapGrid
from geolulc.mapping import MapOptions, Mapper
from geolulc.mapping.inference import Ensemble
from geolulc.mapping.run import Run
from geolulc.mapping.strips import StripReader
from geolulc.mapping.workers import Workers
from geolulc.nets import (
    Model,
    NetConfig,
    Normalisation,
    build_net,
    load_checkpoint,
    save_checkpoint,
)
from geolulc.nomenclature import BEN19
from geolulc.outputs import SceneStory, write_map
from geolulc.process import available_cores, tune_memory
from geolulc.products import Product, open_product


def timed(action: Callable[[], object]) -> tuple[float, float, object]:
    """(wall seconds, CPU seconds, result)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = action()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def decode_only(
    product: Product, model: Model, grid: MapGrid, selected: np.ndarray, threads: int
) -> int:
    """Reads every strip and does nothing with it."""
    with (
        Workers(threads) as workers,
        product.opened(model.net.band_names) as images,
        StripReader(images, model.net.bands, grid, workers, selected=selected) as reader,
    ):
        for row in reader.rows:
            reader.read(row)
        return reader.tiles_decoded


def forward_only(model: Model, count: int, threads: int, batch: int = 16) -> None:
    """``count`` patches of random numbers, one thread a batch, as mapping runs them."""
    torch.set_num_threads(1)
    ensemble = Ensemble([model], torch.device("cpu"))
    rng = np.random.default_rng(0)
    dn = {
        r: rng.integers(1, 4000, (len(names), 1200 // r, batch * 1200 // r)).astype(np.uint16)
        for r, names in model.net.bands.items()
    }
    offsets = ensemble.offsets(dict.fromkeys(BAND_NAMES, 0))
    strips = ensemble.prepare(dn, offsets)
    lefts = [1200 * i for i in range(batch)]
    with Workers(threads) as workers:
        task = partial(ensemble.probabilities, strips, lefts)
        futures = [workers.submit(0, "forward", task) for _ in range(-(-count // batch))]
        for future in futures:
            workers.result(future)


def map_with_geolulc(
    product: Product, model: Model, options: MapOptions, selected: np.ndarray
) -> int:
    """What ``geolulc map`` does; returns how many JP2 tiles it decoded."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Mapper([model], options) as mapper,
        mapper.open(product, selected) as run,
    ):
        write_map(run.header, run.blocks(), Path(folder) / "map.tif", story=SceneStory())
        return run.reader.tiles_decoded


@contextmanager
def shares() -> Iterator[dict[str, float]]:
    """CPU seconds by part, of what runs meanwhile in whichever thread."""
    seconds: dict[str, float] = defaultdict(float)
    lock = threading.Lock()

    def counted(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*args, **options)
            finally:
                with lock:
                    seconds[part] += time.thread_time() - start

        return run

    def computed(function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """Blocks are computed while they are written: that is no part of writing."""

        def run(*args: Any, **options: Any) -> Iterator[Any]:
            blocks = function(*args, **options)
            while True:
                start = time.thread_time()
                block = next(blocks, None)
                with lock:
                    seconds["write"] -= time.thread_time() - start
                if block is None:
                    return
                yield block

        return run

    parts = [
        (Ensemble, "prepare", "transfer"),
        (Ensemble, "probabilities", "forward"),
        (Ensemble, "shared_probabilities", "forward"),
        (sys.modules[__name__], "write_map", "write"),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in parts]
    kept.append((Run, "blocks", Run.blocks))
    for owner, name, part in parts:
        setattr(owner, name, counted(part, getattr(owner, name)))
    Run.blocks = computed(Run.blocks)
    try:
        yield seconds
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)


def peak_memory(product: Product, arguments: argparse.Namespace, stride: int, way: str) -> float:
    """GB at most, of ``geolulc map`` over the rows, all outputs included."""
    tile = product.grid
    rows = arguments.rows or tile.height
    box = shapely.box(
        tile.left + 1, tile.top - min(rows * 1200, tile.height) + 1,
        tile.left + tile.width - 1, tile.top - 1,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        area, model = Path(folder) / "area.gpkg", Path(folder) / "model.safetensors"
        geopandas.GeoDataFrame(geometry=[box], crs=tile.crs).to_file(area)
        save_checkpoint(model, network(arguments))
        command = [
            sys.executable, "-m", "geolulc", "map", str(arguments.scene), "--model", str(model),
            "--out", str(Path(folder) / "map.tif"), "--stride", str(stride), "--overlap", way,
            "--aoi", str(area), "--device", "cpu", "--quiet",
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9


def network(arguments: argparse.Namespace, bands: str = "") -> Model:
    """The model given, or a fresh ResNet18 for ``bands``, separated by commas (all of them)."""
    if arguments.model:
        return load_checkpoint(arguments.model)
    statistics = Normalisation(dict.fromkeys(BAND_NAMES, 1500.0), dict.fromkeys(BAND_NAMES, 900.0))
    net = build_net(
        NetConfig(),
        classes=BEN19.names,
        nomenclature=BEN19.id,
        normalisation=statistics,
        bands=SENTINEL2.select(bands.split(",") if bands else BAND_NAMES),
        seed=0,
    )
    return Model(net.eval(), name="fresh ResNet18")


def map_with_windows(product: Product, model: Model, grid: MapGrid, rows: int) -> None:
    """A careful user's script: bands open, windows in row order, GDAL's block cache, batches."""
    torch.set_num_threads(available_cores())
    net = model.net
    offsets = tuple(
        torch.tensor([product.offsets[b] for b in GROUPS[r]], dtype=torch.int32)
        for r in RESOLUTIONS
    )
    with rasterio.Env(GDAL_NUM_THREADS=str(available_cores()), GDAL_CACHEMAX=1_000_000_000):
        bands = {b: rasterio.open(path) for b, path in product.band_files.items()}
        for row in range(rows):
            for start in range(0, grid.shape[1], 32):
                columns = range(start, min(start + 32, grid.shape[1]))
                groups = []
                for r in RESOLUTIONS:
                    patches = []
                    for column in columns:
                        ys, xs = grid.window(row, column, r)
                        window = Window.from_slices(ys, xs)
                        patches.append([bands[b].read(1, window=window) for b in GROUPS[r]])
                    groups.append(torch.from_numpy(np.array(patches).astype(np.int32)))
                with torch.inference_mode():
                    model.probabilities(net(*groups, offsets=offsets))
        for dataset in bands.values():
            dataset.close()


def map_with_torchgeo(product: Product, model: Model, grid: MapGrid, rows: int) -> None:
    """TorchGeo's Sentinel2 dataset with a grid sampler; it brings all bands to 10 m itself."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import Sentinel2, stack_samples
    from torchgeo.samplers import GridGeoSampler

    torch.set_num_threads(available_cores())
    names = [b for r in RESOLUTIONS for b in GROUPS[r]]
    dataset = Sentinel2(str(product.path), bands=names, res=10)
    sampler = GridGeoSampler(dataset, size=120, stride=grid.stride // 10)
    loader = DataLoader(dataset, sampler=sampler, batch_size=32, collate_fn=stack_samples)
    wanted = rows * grid.shape[1]
    done = 0
    with torch.inference_mode():
        for batch in loader:
            images = batch["image"].float()
            groups = images[:, :4], images[:, 4:10, ::2, ::2], images[:, 10:, ::6, ::6]
            model.probabilities(model.net(*(g.to(torch.int32) for g in groups)))
            done += len(images)
            if done >= wanted:
                break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path)
    parser.add_argument("--stride", type=int, nargs="+", default=[1200])
    parser.add_argument("--rows", type=int, help="only the first rows of cells at 1200 m")
    parser.add_argument("--model", type=Path)
    parser.add_argument(
        "--bands", nargs="+", default=[""], help='each a model of these: "" B02,B03,B04,B08'
    )
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--windows", action="store_true", help="also rasterio windows")
    parser.add_argument("--torchgeo", action="store_true", help="also TorchGeo, where installed")
    parser.add_argument("--memory", action="store_true", help="only the peak of memory")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tune_memory()  # as the command does
    product = open_product(arguments.scene)
    whole = MapGrid(product.grid)
    share = min(1.0, (arguments.rows or whole.shape[0]) / whole.shape[0])
    print(f"{product.name}: {share:.0%} of it, {arguments.threads} threads, load {os.getloadavg()}")
    lines = []
    if arguments.memory:
        for stride in arguments.stride:
            for way in ("exact", "shared") if stride < 1200 else ("exact",):
                # of all children so far: give strides by falling memory to see each
                peak = peak_memory(product, arguments, stride, way)
                print(f"stride {stride:5d}  {way:8s} peak so far {peak:.2f} GB", flush=True)
        return
    for bands, stride in itertools.product(arguments.bands, arguments.stride):
        model = network(arguments, bands)
        print(f"{len(model.net.band_names)} bands:")
        grid = MapGrid(product.grid, stride)
        rows = max(1, round(grid.shape[0] * share))
        selected = np.zeros(grid.shape, bool)
        selected[:rows] = True
        count = int(selected.sum())
        threads = arguments.threads
        decoding, decoding_cpu, tiles = timed(
            partial(decode_only, product, model, grid, selected, threads)
        )
        # a forward pass costs the same for any numbers: of many patches, a part will do
        trial = min(count, 1024)
        forward, forward_cpu, _ = timed(partial(forward_only, model, trial, threads))
        forward, forward_cpu = forward * count / trial, forward_cpu * count / trial
        floor = decoding + forward
        lines.append(report(stride, "floor: decoding", decoding, decoding_cpu, floor, tiles))
        lines.append(report(stride, "floor: forward", forward, forward_cpu, floor, count))
        for overlap in ("exact", "shared") if stride < 1200 else ("exact",):
            options = MapOptions(
                stride=stride, overlap=overlap, device="cpu", threads=threads, mask_scl=()
            )
            with shares() as seconds:
                wall, cpu, decoded = timed(
                    partial(map_with_geolulc, product, model, options, selected)
                )
            lines.append(report(stride, f"geolulc {overlap}", wall, cpu, floor, decoded))
            # OpenJPEG decodes in a thread of its own: what no other part took
            seconds["decode and the rest"] = cpu - sum(seconds.values())
            parts = ", ".join(f"{name} {value / cpu:.1%}" for name, value in seconds.items())
            print(f"{'':13}of its CPU time: {parts}", flush=True)
        ways = []
        if arguments.windows:
            ways.append(("rasterio windows", map_with_windows))
        if arguments.torchgeo:
            ways.append(("TorchGeo", map_with_torchgeo))
        for name, way in ways:
            wall, cpu, _ = timed(partial(way, product, model, grid, rows))
            lines.append(report(stride, name, wall, cpu, floor, count))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"peak memory of all of this: {peak:.2f} GB")
    if arguments.json:
        arguments.json.write_text(json.dumps(lines, indent=2))


def report(stride: int, way: str, wall: float, cpu: float, floor: float, count: object) -> dict:
    """One line, printed and returned; ``count`` is tiles decoded or patches."""
    print(
        f"stride {stride:5d}  {way:18s} wall {wall:8.1f} s  CPU {cpu:8.1f} s  "
        f"{wall / floor:5.2f} × floors  n = {count}",
        flush=True,
    )
    return {"stride": stride, "way": way, "wall": wall, "cpu": cpu, "n": count}


if __name__ == "__main__":
    main()
