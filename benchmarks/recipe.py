"""What each part of the recipe is worth, where two cores allow: it is left out, one at a time.

    python benchmarks/recipe.py STORE FOLDER --pretrained FILE [--epochs 30] [--seeds 0,1]

The recipe is that of ``examples/modern.toml`` on a small network (ResNet10-T, a shallow trunk,
images of 60 pixels) that starts from a model of pixels of that backbone (``geolulc train --teacher
dynamicworld --backbone resnet10t --set trunk=shallow``) and averages over fewer steps.
Each variant is trained on the train split of STORE with the same number of steps and seeds, the
last epoch is kept, and scored on the val split. Prints average precision, and its difference from
the whole recipe with the 95 % interval of the paired resampling of tiles (or acquisitions) and
seeds. FOLDER keeps the runs for the next call.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from geolulc.datasets import open_store
from geolulc.learning import TrainConfig, train
from geolulc.learning.evaluation import Predictions, predict
from geolulc.learning.intervals import differences
from geolulc.nets import load_checkpoint

RECIPE = TrainConfig(
    backbone="resnet10t", trunk="shallow", image_size=60,
    trunk_rate=0.1, drop_rate=0.15, batch_size=16, weight_decay=0.05, ema_decay=0.98,
    select="last", workers=0,
)  # fmt: skip
#: What is left out → the settings without it.
WITHOUT = {
    "nothing": {},
    "the pretrained start": {"pretrained": "", "trunk_rate": 1.0},
    "a lower rate of the trunk": {"trunk_rate": 1.0},
    "EMA": {"ema_decay": 0.0},
    "D4": {"d4": False},
    "cross-entropy (asymmetric)": {"loss": "asl"},
    "cross-entropy (focal)": {"loss": "focal"},
}
FIGURES = ("ap_micro", "ap_macro")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pretrained", required=True, metavar="FILE")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", default="0,1")
    options = parser.parse_args()
    config = replace(RECIPE, epochs=options.epochs, pretrained=options.pretrained)
    seeds = [int(seed) for seed in options.seeds.split(",")]
    store = open_store(options.store)
    options.folder.mkdir(parents=True, exist_ok=True)
    print(f"{len(store.split('train'))} train and {len(store.split('val'))} val patches")
    print(f"{'without':<28}{'AP micro':>10}{'difference':>28}{'AP macro':>10}{'difference':>28}")
    whole: list[Predictions] = []
    for name, settings in WITHOUT.items():
        found = []
        for seed in seeds:
            run = options.folder / f"{name.replace(' ', '-')}-{seed}"
            train(options.store, run, replace(config, seed=seed, **settings), resume=True)
            found.append(predict(load_checkpoint(run), store, "val", workers=0))
        whole = whole or found
        pairs = [(a.resampled, b.resampled) for a, b in zip(found, whole, strict=True)]
        apart = differences(pairs, found[0].resampled.clusters)
        line = f"{name:<28}"
        for figure in FIGURES:
            each = apart[figure]
            said = f"{each.first - each.second:+.3f}"
            if math.isfinite(each.low):  # tiles enough to resample
                said += f" ({each.low:+.3f} … {each.high:+.3f})"
            line += f"{each.first:>10.3f}{said if found is not whole else '':>28}"
        print(line, flush=True)
    tiles = np.unique(whole[0].patches.clusters)
    print(f"{len(seeds)} seeds, {len(tiles)} tiles or acquisitions")


if __name__ == "__main__":
    main()
