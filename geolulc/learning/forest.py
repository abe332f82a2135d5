"""A random forest on the pixels of a store, grown by scikit-learn and kept as a model of pixels.

It sees the bands of a pixel, and mean and deviation of the finest ones around it: what
``nets.forest.ForestFusion.features`` says, in training, evaluation and maps alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from geolulc.datasets import Store
from geolulc.datasets.pixels import PixelReader
from geolulc.errors import DatasetError, ParameterError
from geolulc.learning.config import TrainConfig
from geolulc.learning.environment import describe_environment
from geolulc.learning.objective import kept_model, make_objective
from geolulc.learning.patches import SplitPatches
from geolulc.learning.processes import Processes
from geolulc.learning.run_folder import RunFolder, RunState
from geolulc.learning.task import Task
from geolulc.learning.task_figures import TASK_FIGURES
from geolulc.nets import Calibration, LandCoverNet, NetConfig, Normalisation, save_checkpoint
from geolulc.nets.config import FOREST
from geolulc.nets.forest import ForestFusion
from geolulc.nomenclature import IGNORED
from geolulc.process import available_cores

#: As in benchmarks/pixel_learnability.py.
_TREES: Final = 100
_LEAF: Final = 2
#: Pixels to learn from; of a class that has so many, at least these.
_LEARNED: Final = 200_000
_OF_A_CLASS: Final = 2_000
_READ_AT_ONCE: Final = 16
#: Patches that are validated on at once.
_VALIDATED_AT_ONCE: Final = 8

#: Features (n, F) and classes (n,) of some pixels.
Pixels = tuple[NDArray[np.float32], NDArray[np.uint8]]


@dataclass(frozen=True)
class Forest:
    """A forest in both forms.

    Attributes:
        classifier: of scikit-learn; its classes are positions in the store's.
        net: the same trees as a network.
        learned: pixels that it learned from.
    """

    classifier: RandomForestClassifier
    net: LandCoverNet
    learned: int


def grow_forest(
    train: SplitPatches, bands: Mapping[int, tuple[str, ...]], *, seed: int = 0
) -> Forest:
    """A forest of the labelled pixels of ``train`` (with masks).

    Args:
        train: the patches.
        bands: resolution → names of the bands that it sees.
        seed: of the pixels that are drawn, and of the trees.

    Raises:
        DatasetError: ``train`` has no labelled pixel.
        ParameterError: no band of the sensor's finest pixels.
    """
    counts = labelled_pixels(train)
    if not counts.sum():
        raise DatasetError(
            train.store.path,
            found="no labelled pixel in the train split",
            expected="pixels that a forest can learn from",
            remedy="Label more places.",
        )
    share = min(1.0, _LEARNED / counts.sum())
    kept = np.clip(np.maximum(share, _OF_A_CLASS / np.maximum(counts, 1)), 0, 1)
    rng = np.random.default_rng([seed, 0xF0])
    empty = _network(train, bands, ForestFusion(bands, len(train.classes), train.store.layout))
    drawn = [
        (x[chosen], y[chosen])
        for x, y in read_pixels(train, empty)
        for chosen in [rng.random(len(y)) < kept[y]]
    ]
    x, y = joined(drawn)
    classifier = RandomForestClassifier(
        _TREES, min_samples_leaf=_LEAF, n_jobs=available_cores(), random_state=seed
    ).fit(x, y)
    trees = _as_tensors(classifier, bands, train)
    return Forest(classifier, _network(train, bands, trees), len(y))


def train_forest(
    store: Store,
    run: RunFolder,
    config: TrainConfig,
    task: Task,
    processes: Processes,
    begin: Callable[[], None],
) -> dict[str, Any]:
    """Grow the forest of ``config`` into ``run``; the summary, as of a network's training.

    ``begin`` makes the run's folder, once the store is found to serve.

    Raises:
        ParameterError: several ``processes``.
    """
    if (finished := run.summary()) is not None:
        return finished
    if processes.count > 1:
        raise ParameterError(
            f"backbone {FOREST}",
            found=f"{processes.count} processes",
            expected="one: its trees grow in threads",
            remedy="Start it without torchrun.",
        )
    place = torch.device("cpu")
    patches, held_out = task.patches(store, config, place)
    forest = grow_forest(
        patches, store.layout.sensor.select(config.names(store.layout.sensor)), seed=config.seed
    )
    begin()
    validation = make_objective(config, patches, held_out, place).validate(
        forest.net, device=place, dtype=None, batch_size=_VALIDATED_AT_ONCE, workers=config.workers
    )
    row = {"epoch": 1.0, **validation.figures}
    names, at = TASK_FIGURES[config.task], RunState()
    at.end_epoch(row, row[names.score], "last")
    at.best_by_class = dict(validation.by_class)
    # votes are shares of what was seen: they need no calibration, and agree with the baseline's
    model = kept_model(
        forest.net,
        (Calibration(), ()),
        patches,
        held_out,
        task.ground(patches),
        config,
        row,
        describe_environment(place),
        run.path.name,
    )
    learned = {**model.provenance, "trees": _TREES, "learned_pixels": forest.learned}
    save_checkpoint(run.model, replace(model, provenance=learned), overwrite=True)
    run.write_history(at.history)
    summary = at.summary(1, names.by_class)
    run.finish(summary)
    return summary


def labelled_pixels(patches: SplitPatches) -> NDArray[np.int64]:
    """Labelled pixels of each class, (C,)."""
    found = np.zeros(256, np.int64)
    with PixelReader(patches.store) as reader:
        for start in range(0, len(patches.indices), _READ_AT_ONCE):
            some = patches.indices[start : start + _READ_AT_ONCE]
            positions = patches.store.legend.positions(reader.read_references(some))
            found += np.bincount(positions.ravel(), minlength=256)
    return found[: len(patches.store.nomenclature)]


@torch.inference_mode()
def read_pixels(patches: SplitPatches, net: LandCoverNet, step: int = 1) -> Iterator[Pixels]:
    """What a forest sees of the labelled pixels of each patch, every ``step``-th of them."""
    fusion, groups = cast(ForestFusion, net.fusion), patches.store.layout.sensor.groups
    with PixelReader(patches.store) as reader:
        for index in patches.indices.tolist():
            codes = reader.read_references(np.array([index]))[0]
            truth = patches.store.legend.positions(codes)
            dn = patches.store.read(index).dn
            seen = [
                torch.from_numpy(dn[r][[groups[r].index(n) for n in names]].astype(np.int32))
                for r, names in net.bands.items()
            ]
            features = fusion.features(*net.preprocess(*(x[None] for x in seen)))[0]
            known = truth != IGNORED
            yield features.numpy()[:, known].T[::step], truth[known][::step]


def joined(pairs: Sequence[Pixels]) -> Pixels:
    """All pixels of ``pairs``."""
    x, y = zip(*pairs, strict=True)
    return np.concatenate(x), np.concatenate(y)


def _network(
    patches: SplitPatches, bands: Mapping[int, tuple[str, ...]], fusion: ForestFusion
) -> LandCoverNet:
    """A network around ``fusion``, which sees reflectance × 10,000 as it is."""
    store = patches.store
    names = [name for own in bands.values() for name in own]
    return LandCoverNet(
        fusion,
        config=NetConfig(task="pixel", backbone=FOREST),
        classes=patches.classes,
        nomenclature=patches.nomenclature,
        normalisation=Normalisation(dict.fromkeys(names, 0.0), dict.fromkeys(names, 1.0)),
        bands=bands,
        sensor=store.layout.sensor,
        patch_size=store.layout.size,
        level=store.level,
    ).eval()


def _as_tensors(
    classifier: RandomForestClassifier, bands: Mapping[int, tuple[str, ...]], train: SplitPatches
) -> ForestFusion:
    """The trees of scikit-learn as those of a ``ForestFusion``."""
    trees = [estimator.tree_ for estimator in classifier.estimators_]
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])
    children = np.concatenate(
        [
            np.stack([tree.children_left, tree.children_right], axis=1) + start
            for tree, start in zip(trees, starts, strict=False)
        ]
    )
    is_leaf = np.concatenate([tree.children_left < 0 for tree in trees])
    children[is_leaf] = np.flatnonzero(is_leaf)[:, None]
    threshold = np.concatenate([tree.threshold for tree in trees])
    feature = np.concatenate([tree.feature for tree in trees])
    counts = np.concatenate([tree.value[:, 0] for tree in trees])[is_leaf]
    shares = np.zeros((len(counts), len(train.classes)), np.float32)
    shares[:, classifier.classes_] = counts / counts.sum(axis=1, keepdims=True)
    fusion = ForestFusion(
        bands, len(train.classes), train.store.layout,
        nodes=len(is_leaf), trees=len(trees), leaves=len(counts),
    )  # fmt: skip
    fusion.load_state_dict(
        {
            "below": torch.from_numpy(children.astype(np.int32)),
            "feature": torch.from_numpy(np.where(is_leaf, 0, feature).astype(np.int32)),
            "threshold": torch.from_numpy(np.where(is_leaf, 0, _below(threshold))),
            "leaf": torch.from_numpy(np.where(is_leaf, np.cumsum(is_leaf) - 1, 0).astype(np.int32)),
            "roots": torch.from_numpy(starts[:-1].astype(np.int32)),
            "shares": torch.from_numpy(shares),
        }
    )
    fusion.require_sound()
    return fusion


def _below(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is at most ``threshold``: what a float32 is compared with alike."""
    nearest = threshold.astype(np.float32)
    return np.where(nearest > threshold, np.nextafter(nearest, np.float32(-np.inf)), nearest)
