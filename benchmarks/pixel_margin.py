"""How far from a window's border what lies beyond it still matters to a pixel model.

    python benchmarks/pixel_margin.py MODEL [--windows 8]

Windows of a made landscape are mapped alone and as the middle of larger ones. By distance from the
border: the share of pixels whose class differs between the two, and the mean and 99.9th percentile
of the greatest difference of a probability. The margin that mapping leaves to the neighbouring
window is ``net.margin``.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from geolulc.bands import GROUPS
from geolulc.nets import Model, load_checkpoint

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from make_scene import make_landscape

#: Distances from the border in metres.
RINGS = (0, 60, 120, 180, 240, 300, 360, 420, 480, 600, 720, 960)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--windows", type=int, default=8)
    options = parser.parse_args()
    model = load_checkpoint(options.model)
    side, step = 2 * model.net.pixel_multiple, model.net.pixel_multiple
    differences, changed = [], []
    for seed in range(options.windows):
        bands = make_landscape(side + 2 * step, seed + 100).bands
        whole, alone = _map(model, bands, 0, side + 2 * step), _map(model, bands, step, side)
        inside = whole[:, step // 10 : (step + side) // 10, step // 10 : (step + side) // 10]
        differences.append(np.abs(inside - alone).max(axis=0))
        changed.append(inside.argmax(axis=0) != alone.argmax(axis=0))
    rows = np.arange(side // 10)
    near = np.minimum(rows, rows[::-1])
    distance = 10 * np.minimum(near[:, None], near[None, :]) + 5
    print(f"{options.model}: windows of {side} m, net.margin {model.net.margin} m")
    print("metres from the border   class differs   mean difference   99.9 % below")
    for low, high in pairwise(RINGS):
        ring = (distance >= low) & (distance < high)
        if ring.any():
            values = np.concatenate([d[ring] for d in differences])
            share = np.mean([c[ring].mean() for c in changed])
            print(
                f"{low:>11} to {high:<9} {100 * share:12.3f} %   {values.mean():15.5f}"
                f"   {np.quantile(values, 0.999):12.4f}"
            )


def _map(model: Model, bands: dict[str, NDArray[np.uint16]], start: int, side: int) -> NDArray:
    groups = [
        torch.from_numpy(
            np.stack([bands[n][(here := slice(start // r, (start + side) // r)), here]
                      for n in names])
        )[None]
        for r, names in GROUPS.items()
    ]  # fmt: skip
    with torch.inference_mode():
        return model.probabilities(model.net(*groups))[0].numpy()


if __name__ == "__main__":
    main()
