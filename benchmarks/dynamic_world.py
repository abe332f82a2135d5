"""Dynamic World's network: how well Level-2A serves, and how long a window takes.

    python benchmarks/dynamic_world.py MODEL_FOLDER --pairs shared/data/pairs
    python benchmarks/dynamic_world.py MODEL_FOLDER --speed [--side 576]

``--pairs``: for each place in both levels, the share of pixels with the class of the Level-1C map:
from Level-2A as it is, and from the computed top of the atmosphere. Dates of the pairs are not
known, so the sun's zenith angle is free: the best of some, one number a place. Two more columns
are the share of pixels that an annual land-cover map gives the same class, from Level-1C and from
the computed top: its legend is inferred and its labels are another model's, so this is agreement
and no accuracy. Grass and shrub count as its rangeland.
``--speed``: seconds of the forward pass of one window, best of five: a plain module (convolution,
batch norm, Mish, the head at full resolution, channels last) and geolulc's, side by side.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import rasterio
import torch
from torch import Tensor, nn
from torch.nn import functional

from geolulc.bands import BAND_NAMES
from geolulc.nets import load_checkpoint
from geolulc.nets.dynamic_world import SCALES, DynamicWorldFusion
from geolulc.process import available_cores
from geolulc.products.atmosphere import USUAL_AEROSOL, air_of

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
            air = air_of(names, angle)
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
def measure_speed(folder: Path, side: int) -> None:
    """Print seconds of both, and their ratio."""
    torch.set_num_threads(available_cores())
    window = torch.randint(1, 6000, (1, 9, side, side)).float()
    window = window.to(memory_format=torch.channels_last)
    plain = Plain(load_checkpoint(folder).net.fusion).eval().to(memory_format=torch.channels_last)
    ours = load_checkpoint(folder).net.fusion.eval().to(memory_format=torch.channels_last)
    seconds = {"plain": best(lambda: plain(window)), "geolulc": best(lambda: ours.classify(window))}
    for name, taken in seconds.items():
        print(f"{name:8} {taken:6.2f} s  {taken / seconds['plain']:.2f} ×")


def best(action: Callable[[], object], times: int = 5) -> float:
    """Seconds of the fastest of some runs."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        found.append(time.perf_counter() - start)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="the published SavedModel, …/model/forward")
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--side", type=int, default=576)
    arguments = parser.parse_args()
    if arguments.pairs:
        measure_agreement(load_checkpoint(arguments.model).net.fusion, arguments.pairs)
    if arguments.speed:
        measure_speed(arguments.model, arguments.side)


if __name__ == "__main__":
    main()
