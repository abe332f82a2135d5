"""Recipes for few patches, compared where nobody has been: cross-validation over places.

    python benchmarks/places.py STORE FOLDER CONFIG… [--repeats 1] [--set KEY=VALUE]

The tiles (or acquisitions) of the train split of STORE are dealt to five folds of about as many
patches; each recipe (a TOML file of ``geolulc train``) is trained on four and says what the fifth
has, its last epoch is kept. Prints average precision, micro and macro, of all patches together,
for each repeat, and of a recipe with a geographic prior that of the prior alone too. Nothing else
is looked at: no split of validation, no calibration, no threshold.
FOLDER keeps the runs for the next call.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logit

from geolulc.datasets import open_store
from geolulc.learning import TrainConfig, train
from geolulc.learning.config import parse_setting, read_config
from geolulc.learning.metrics import average_precision, macro, micro_average_precision
from geolulc.learning.patches import SplitPatches
from geolulc.learning.scoring import score
from geolulc.learning.task import Task
from geolulc.nets import load_checkpoint

FOLDS = 5


def dealt(places: NDArray[np.str_], seed: int) -> NDArray[np.int64]:
    """Fold of each patch: the largest places first, each to a fold that has the fewest patches."""
    random = np.random.default_rng(seed)
    names, number, counts = np.unique(places, return_inverse=True, return_counts=True)
    folds, sizes = np.zeros(len(names), np.int64), np.zeros(FOLDS)
    for place in sorted(random.permutation(len(names)), key=lambda i: -counts[i]):
        folds[place] = random.choice(np.flatnonzero(sizes == sizes.min()))
        sizes[folds[place]] += counts[place]
    return folds[number]


def main(options: argparse.Namespace) -> None:
    store = open_store(options.store)
    patches = SplitPatches(store, "train")
    places = patches.clusters
    print(f"{len(patches)} patches of {len(np.unique(places))} places")
    for file in options.configs:
        values = read_config(file) | dict(map(parse_setting, options.set))
        config = TrainConfig.from_mapping(values | {"select": "last"})
        for repeat in range(options.repeats):
            folds = dealt(places, repeat)
            logits, alone = (np.zeros_like(patches.targets) for _ in range(2))
            for fold in range(FOLDS):
                own, held = patches.indices[folds != fold], patches.indices[folds == fold]
                run = options.folder / f"{file.stem}-{repeat}-{fold}"
                size = min(config.batch_size, len(own))
                task = Task(train=own, val=np.array([], np.int64), plots=False)
                changed = config.changed({"seed": config.seed + repeat, "batch_size": size})
                train(options.store, run, changed, task=task, resume=True)
                net, rest = load_checkpoint(run).net, SplitPatches(store, "train", held)
                logits[folds == fold] = score(
                    net, rest, device=torch.device("cpu"), batch_size=16, workers=0
                )
                if (prior := net.geographic_prior) is not None:
                    shifts = prior.at(*rest.centres.T)
                    alone[folds == fold] = logit(prior.base.numpy()) + shifts
            for name, scores in ((file.stem, logits), (f"{file.stem}, prior alone", alone)):
                if scores.any():
                    micro = micro_average_precision(patches.targets, scores)
                    by_class = average_precision(patches.targets, scores)
                    print(f"{name:28} {repeat} {micro:.3f} {macro(by_class):.3f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("configs", type=Path, nargs="+")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    main(parser.parse_args())
