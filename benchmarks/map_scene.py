"""Mapping a scene against its floors and against what users do today, side by side in one run.

    python benchmarks/map_scene.py SCENE [--stride 1200 …] [--rows N] [--model M] [--torchgeo]

Floors: decoding alone and the forward pass alone, with the same libraries, threads and network.
What users do: windows through rasterio row by row with the block cache; TorchGeo's Sentinel2
dataset with GridGeoSampler where it is installed. ``--rows`` maps only the first rows of cells
(all ways alike) and says what a whole tile would take by their share.

Prints one line a way with its ratios; ``--json FILE`` keeps them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.windows import Window

from geolulc.bands import GROUPS, RESOLUTIONS
from geolulc.errors import ParameterError
from geolulc.grid import MapGrid
from geolulc.mapping import MapOptions, Mapper
from geolulc.mapping.inference import Ensemble
from geolulc.mapping.mapper import available_cores
from geolulc.mapping.strips import StripReader
from geolulc.mapping.workers import Workers
from geolulc.nets import Model, load_checkpoint, shipped_model
from geolulc.products import Product, open_product


def timed(action: Callable[[], object]) -> tuple[float, float, object]:
    """(wall seconds, CPU seconds, result)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = action()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def decode_only(product: Product, grid: MapGrid, selected: np.ndarray, threads: int) -> int:
    """Reads every strip and does nothing with it."""
    with (
        Workers(threads) as workers,
        StripReader(product, grid, workers, selected=selected) as reader,
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
        r: rng.integers(1, 4000, (len(GROUPS[r]), 1200 // r, batch * 1200 // r)).astype(np.uint16)
        for r in RESOLUTIONS
    }
    offsets = ensemble.offsets({b: 0 for names in GROUPS.values() for b in names})
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
    """What ``geolulc map`` does, without writing; returns how many JP2 tiles it decoded."""
    with Mapper([model], options) as mapper, mapper.open(product, selected) as run:
        run.map()
        return run.reader.tiles_decoded


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
                    model.probabilities(net(*groups, offsets))
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
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--windows", action="store_true", help="also rasterio windows")
    parser.add_argument("--torchgeo", action="store_true", help="also TorchGeo, where installed")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    product = open_product(arguments.scene)
    model = load_checkpoint(arguments.model or shipped_model())
    whole = MapGrid(product.grid)
    share = min(1.0, (arguments.rows or whole.shape[0]) / whole.shape[0])
    print(f"{product.name}: {share:.0%} of it, {arguments.threads} threads, load {os.getloadavg()}")
    lines = []
    for stride in arguments.stride:
        grid = MapGrid(product.grid, stride)
        rows = max(1, round(grid.shape[0] * share))
        selected = np.zeros(grid.shape, bool)
        selected[:rows] = True
        count = int(selected.sum())
        threads = arguments.threads
        decoding, decoding_cpu, tiles = timed(
            partial(decode_only, product, grid, selected, threads)
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
            try:
                wall, cpu, decoded = timed(
                    partial(map_with_geolulc, product, model, options, selected)
                )
            except ParameterError as error:
                print(f"  {overlap}: {error}")
                continue
            lines.append(report(stride, f"geolulc {overlap}", wall, cpu, floor, decoded))
        ways = []
        if arguments.windows:
            ways.append(("rasterio windows", map_with_windows))
        if arguments.torchgeo:
            ways.append(("TorchGeo", map_with_torchgeo))
        for name, way in ways:
            wall, cpu, _ = timed(partial(way, product, model, grid, rows))
            lines.append(report(stride, name, wall, cpu, floor, count))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
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
