"""What it costs to place a patch model's answers inside patches, against the patch map itself.

    python benchmarks/location.py SCENE [--model M] [--rounds 3] [--resolution 320 …]

Both ways read the whole scene and write nothing, in turn; the least of the rounds counts, of the
clock and of the processor's time, which other work on the machine disturbs less. The network is a
ResNet18 with early fusion and fresh weights, or ``--model``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from map_scene import network

from geolulc.mapping import predict_scene
from geolulc.products import open_product


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--resolution", type=int, nargs="+", default=[320])
    arguments = parser.parse_args()
    product, model = open_product(arguments.scene), network(arguments)
    ways = [None, *arguments.resolution]
    best = {way: (float("inf"), float("inf")) for way in ways}
    for _ in range(arguments.rounds):
        for way in ways:
            start, cpu = time.perf_counter(), time.process_time()
            predict_scene(product, model, resolution=way, device="cpu")
            wall, cpu = time.perf_counter() - start, time.process_time() - cpu
            best[way] = min(best[way][0], wall), min(best[way][1], cpu)
    for way in ways:
        name = f"cells of {way} m" if way else "patches of 1200 m"
        (wall, cpu), (wall_of_patches, cpu_of_patches) = best[way], best[None]
        print(
            f"{name:20} wall {wall:6.1f} s {wall / wall_of_patches:5.2f}   "
            f"CPU {cpu:6.1f} s {cpu / cpu_of_patches:5.2f}"
        )


if __name__ == "__main__":
    main()
