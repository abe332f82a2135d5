"""Dynamic World's network: how well Level-2A serves, and how long a window takes.

    python benchmarks/dynamic_world.py MODEL_FOLDER --pairs shared/data/pairs
    python benchmarks/dynamic_world.py MODEL_FOLDER --speed [--side 576] [--threads 1]
    python benchmarks/dynamic_world.py MODEL_FOLDER --tile S2B_MSIL2A_….SAFE

``--pairs``: for each place in both levels, the share of pixels with the class of the Level-1C map:
from Level-2A as it is, and from the computed top of the atmosphere. Dates of the pairs are not
known, so the sun's zenith angle is free: the best of some, one number a place. Two more columns
are the share of pixels that an annual land-cover map gives the same class, from Level-1C and from
the computed top: its legend is inferred and its labels are another model's, so this is agreement
and no accuracy. Grass and shrub count as its rangeland.
``--speed``: wall and CPU seconds of the forward pass of one window, best of five, by turns: a plain
module (convolution, batch norm, Mish, the head at full resolution, channels last) and geolulc's.
On a machine that others use, the CPU seconds of one thread are to be compared.
``--tile``: CPU and wall seconds of ``geolulc map`` of a product with classes alone, with its
peak of memory, beside those of its parts: decoding the nine bands, and the forward pass of one
window times their number.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from torch import Tensor, nn
from torch.nn import functional

from geolulc.bands import BAND_NAMES
from geolulc.mapping.windows import WindowGrid
from geolulc.nets import load_checkpoint
from geolulc.nets.dynamic_world import SCALES, DynamicWorldFusion
from geolulc.process import available_cores
from geolulc.products import open_scene
from geolulc.products.atmosphere import USUAL_AEROSOL, air_of
from geolulc.products.directions import Direction

ANGLES = (20, 30, 40, 50, 60, 65, 70, 75, 78, 80)
#: Places whose numbers still hold the offset of 1000, by level.
SHIFTED = {"l1c": ("282D", "433D"), "l2a": ("433D",)}
#: Codes of the annual maps → Dynamic World's classes; -1: nothing to compare with.
ANNUAL = {1: 0, 2: 1, 3: 3, 4: 4, 5: 6, 6: 7, 7: 8, 9: 2}
SHRUB, GRASS = 5, 2
BANDS = {"l2a": BAND_NAMES, "l1c": (*BAND_NAMES[:10], "B10", *BAND_NAMES[10:])}


def pairs(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, Level-1C and Level-2A of each place: (9, rows, columns) in the network's order."""
    for path in sorted(folder.glob("*_l1c.tif")):
        name = path.name.removesuffix("_l1c.tif")
        found = []
        for level in ("l1c", "l2a"):
            with rasterio.open(folder / f"{name}_{level}.tif") as dataset:
                dn = dataset.read([BANDS[level].index(b) + 1 for b in SCALES]).astype(np.float32)
            offset = 1000 if name[:4] in SHIFTED[level] else 0
            found.append(torch.from_numpy(np.maximum(dn - offset, 0)))
        yield name, found[0], found[1]


@torch.inference_mode()
def measure_agreement(fusion: DynamicWorldFusion, folder: Path) -> None:
    """Print a line a place."""

    def classes(x: Tensor) -> Tensor:
        return fusion.classify(x[None]).argmax(dim=1)[0]

    best_of_all, names = [], tuple(SCALES)
    print(f"{'place':24} {'as it is':>9} {'computed':>9} {'sun':>5} {'annual':>8} {'computed':>9}")
    annual_shares = []
    for name, above, ground in pairs(folder):
        expected = classes(above)
        found = {}
        for angle in ANGLES:
            air = air_of(names, Direction(angle))
            seen = torch.stack([air[b].seen(ground[i]) for i, b in enumerate(names)])
            found[angle] = classes(seen)
        shares = {a: float((f == expected).float().mean()) for a, f in found.items()}
        best = max(shares, key=lambda angle: shares[angle])
        plain = float((classes(ground) == expected).float().mean())
        best_of_all.append(shares[best])
        annual = annual_classes(folder / f"{name}_lulc.tif")
        annual_shares.append([agreement(f, annual) for f in (expected, found[best])])
        first, second = annual_shares[-1]
        print(
            f"{name:24} {plain:9.3f} {shares[best]:9.3f} {best:4}° {first:8.3f} {second:9.3f}",
            flush=True,
        )
    first, second = np.mean(annual_shares, axis=0)
    print(
        f"mean {np.mean(best_of_all):.3f} with an aerosol optical depth of {USUAL_AEROSOL}; "
        f"with the annual maps {first:.3f} from Level-1C, {second:.3f} from the computed top"
    )


def annual_classes(path: Path) -> Tensor:
    """Classes of an annual map as Dynamic World numbers them, -1 where it has none of them."""
    with rasterio.open(path) as dataset:
        codes = dataset.read(1)
    table = np.full(256, -1)
    table[list(ANNUAL)] = list(ANNUAL.values())
    return torch.from_numpy(table[codes])


def agreement(classes: Tensor, annual: Tensor) -> float:
    """Share of the pixels of an annual map with its class."""
    same = torch.where(classes == SHRUB, GRASS, classes) == annual
    return float(same[annual >= 0].float().mean())


class Plain(nn.Module):
    """The same layers as modules, nothing folded or shared."""

    def __init__(self, fusion: DynamicWorldFusion) -> None:
        super().__init__()
        self.fusion = fusion
        for module in list(fusion.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.Conv2d) and child is not fusion.head:
                    norm = nn.BatchNorm2d(child.out_channels)
                    setattr(module, name, nn.Sequential(child, norm, nn.Mish()))

    def block(self, block: nn.Module, x: Tensor) -> Tensor:
        past = block.shortcut(x)
        for layer in block.layers:
            x = layer(x)
        return x + past

    def forward(self, x: Tensor) -> Tensor:
        fusion, size = self.fusion, x.shape[-2:]
        x = torch.sigmoid((torch.log1p(x * 0.005) - fusion.shift) / fusion.divisor * 5 - 1)
        half = (size[0] // 2, size[1] // 2)
        x = functional.interpolate(fusion.stem(x), size=half, mode="bilinear", antialias=True)
        side = x
        for layer in fusion.side:
            side = layer(side)
        x = torch.cat([self.block(fusion.b, self.block(fusion.a, x)), side], dim=1)
        x = functional.interpolate(self.block(fusion.c, x), size=size, mode="bilinear")
        return fusion.head(functional.normalize(x, dim=1, eps=1e-12))


@torch.inference_mode()
def measure_speed(folder: Path, side: int, threads: int) -> None:
    """Print seconds of both, and their ratios."""
    torch.set_num_threads(threads)
    window = torch.randint(1, 6000, (1, 9, side, side)).float()
    window = window.to(memory_format=torch.channels_last)
    plain = Plain(load_checkpoint(folder).net.fusion).eval().to(memory_format=torch.channels_last)
    ours = load_checkpoint(folder).net.fusion.eval().to(memory_format=torch.channels_last)
    ways = {"plain": lambda: plain(window), "geolulc": lambda: ours.classify(window)}
    rounds = [{name: timed(way) for name, way in ways.items()} for _ in range(5)]
    least = {n: [min(each[n][i] for each in rounds) for i in (1, 0)] for n in ways}
    for name, (wall, cpu) in least.items():
        first = least["plain"]
        print(
            f"{name:8} {wall:6.2f} s  {wall / first[0]:.2f} ×  CPU {cpu:6.2f} s  "
            f"{cpu / first[1]:.2f} ×"
        )


def measure_tile(folder: Path, product: Path) -> None:
    """Print what a whole map takes, and its parts."""
    scene, model = open_scene(product), load_checkpoint(folder)
    bands = [b for names in model.net.bands.values() for b in names]

    def decode() -> None:
        with scene.opened(bands, verify=False) as images, ThreadPoolExecutor() as pool:
            for image in images.values():
                list(pool.map(lambda at, image=image: read(image, at), tiles(image)))

    grid = WindowGrid.of_network(scene.grid, model.net.pixel_multiple, model.net.margin, 10)
    count, side = grid.shape[0] * grid.shape[1], grid.side // 10
    window = (torch.rand(1, 9, side, side) * 3000).to(memory_format=torch.channels_last)
    fusion = model.net.fusion.eval().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        fusion.classify(window)
        once = timed(lambda: [fusion.classify(window) for _ in range(10)])
    parts = {"decoding": timed(decode), "forward": tuple(count * t / 10 for t in once)}
    with tempfile.TemporaryDirectory() as made:
        command = ["map", product, "--model", folder, "--out", f"{made}/map.tif", "-q"]
        program = [sys.executable, "-m", "geolulc", *map(str, command), "--outputs", "classes"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    for name, (used, taken) in parts.items():
        print(f"{name:9} {used:7.0f} s CPU {taken:7.0f} s")
    sums = [sum(values) for values in zip(*parts.values(), strict=True)]
    print(f"map       {cpu:7.0f} s CPU {wall:7.0f} s, {after.ru_maxrss / 1e6:.2f} GB at most")
    print(f"map / (decoding + forward of {count} windows): {cpu / sums[0]:.2f} × CPU")


def tiles(image: Any) -> list[tuple[int, int]]:
    """Rows and columns of the tiles of an image."""
    rows, columns = image.tiling.counts
    return [(row, column) for row in range(rows) for column in range(columns)]


def read(image: Any, at: tuple[int, int]) -> None:
    """Decode a tile and let go of it."""
    rows, columns = image.tiling.rows(at[0]), image.tiling.columns(at[1])
    shape = rows.stop - rows.start, columns.stop - columns.start
    image.read(*at, np.empty(shape, image.dtype))


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    action()
    return time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="the published SavedModel, …/model/forward")
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--tile", type=Path)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--side", type=int, default=576)
    arguments = parser.parse_args()
    if arguments.pairs:
        measure_agreement(load_checkpoint(arguments.model).net.fusion, arguments.pairs)
    if arguments.tile:
        measure_tile(arguments.model, arguments.tile)
    if arguments.speed:
        measure_speed(arguments.model, arguments.side, arguments.threads)


if __name__ == "__main__":
    main()
