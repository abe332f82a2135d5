"""What it costs to place a patch model's answers inside patches, against the patch map itself.

    python benchmarks/location.py SCENE [--model M] [--rounds 3] [--resolution 320 …]

Both ways read the whole scene and write nothing, in turn; the least of the rounds counts. The
network is a ResNet18 with early fusion and fresh weights, or ``--model``.
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
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(arguments.rounds):
        for way in ways:
            start = time.perf_counter()
            predict_scene(product, model, resolution=way, device="cpu")
            best[way] = min(best[way], time.perf_counter() - start)
    print(f"patches of 1200 m      {best[None]:6.1f} s")
    for way in arguments.resolution:
        print(f"cells of {way:3} m         {best[way]:6.1f} s   {best[way] / best[None]:.2f}")


if __name__ == "__main__":
    main()
