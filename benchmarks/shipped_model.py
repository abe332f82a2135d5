"""A model beside a tree model on band statistics, both scored on patches neither was fitted to.

    python benchmarks/shipped_model.py MODEL STORE [SEEDS]

The trees are 500 extremely randomised ones on mean, standard deviation and 10th, 50th and 90th
percentile of each band, fitted to the train split of STORE; both are scored on its val split:
average precision, micro and macro over the classes with a positive, and the difference with its
95 % interval over 2,000 bootstraps of the patches.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from geolulc.datasets import Store, open_store
from geolulc.learning.evaluation import predict
from geolulc.learning.metrics import average_precision, macro, micro_average_precision
from geolulc.nets import load_checkpoint


def band_statistics(store: Store, indices: NDArray[np.int64]) -> NDArray[np.float64]:
    rows = []
    for index in indices:
        pixels = [p.reshape(len(p), -1).astype(float) for p in store.read(int(index)).dn.values()]
        rows.append(
            [
                value
                for group in pixels
                for values in (
                    group.mean(1),
                    group.std(1),
                    *np.percentile(group, (10, 50, 90), axis=1),
                )
                for value in values
            ]
        )
    return np.array(rows)


def tree_scores(store: Store, seed: int) -> NDArray[np.float64]:
    train, val = store.split("train"), store.split("val")
    trees = ExtraTreesClassifier(500, random_state=seed, n_jobs=-1)
    trees.fit(band_statistics(store, train), store.targets[train])
    scores = np.zeros((len(val), store.targets.shape[1]))
    predicted = trees.predict_proba(band_statistics(store, val))
    for column, (share, classes) in enumerate(zip(predicted, trees.classes_, strict=True)):
        if 1 in classes:
            scores[:, column] = share[:, list(classes).index(1)]
    return scores


def figures(targets: NDArray[np.float32], scores: NDArray[np.float64]) -> tuple[float, float]:
    return micro_average_precision(targets, scores), macro(average_precision(targets, scores))


def main(model: Path, folder: Path, seeds: int) -> None:
    store = open_store(folder)
    predictions = predict(load_checkpoint(model), store, "val")
    targets, mine = predictions.targets, predictions.probabilities
    print(f"{len(targets)} val patches, {int(targets.any(axis=0).sum())} classes with a positive")
    print(f"{'':28} {'AP micro':>9} {'AP macro':>9}")
    print(f"{model.stem:28} {figures(targets, mine)[0]:9.3f} {figures(targets, mine)[1]:9.3f}")
    trees = [tree_scores(store, seed) for seed in range(seeds)]
    for seed, scores in enumerate(trees):
        micro, macro = figures(targets, scores)
        print(f"{f'500 trees, seed {seed}':28} {micro:9.3f} {macro:9.3f}")
    random = np.random.default_rng(0)
    differences = []
    for _ in range(2000):
        drawn = random.integers(0, len(targets), len(targets))
        a, b = figures(targets[drawn], mine[drawn]), figures(targets[drawn], trees[0][drawn])
        differences.append((a[0] - b[0], a[1] - b[1]))
    low, high = np.percentile(np.array(differences), (2.5, 97.5), axis=0)
    print(f"difference to seed 0, 95 %: micro {low[0]:+.3f} … {high[0]:+.3f}", end="")
    print(f", macro {low[1]:+.3f} … {high[1]:+.3f}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 3)
