"""A random forest on the pixels of a store: what a network has to be better than.

It sees the bands of a pixel, and mean and standard deviation of those of 10 m around it; it learns
from the train split and is scored like a model of pixels, on the same pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from sklearn.ensemble import RandomForestClassifier

from geolulc.bands import GROUPS, RESOLUTIONS
from geolulc.datasets.pixels import PixelReader
from geolulc.errors import DatasetError
from geolulc.learning.patches import SplitPatches
from geolulc.learning.pixel_metrics import class_figures, overall_figures
from geolulc.nomenclature import IGNORED
from geolulc.process import available_cores

#: As in benchmarks/pixel_learnability.py.
_TREES: Final = 100
_LEAF: Final = 2
#: Pixels to learn from; of a class that has so many, at least these.
_LEARNED: Final = 200_000
_OF_A_CLASS: Final = 2_000
#: Pixels that are scored at most: beyond, every n-th of each patch.
_SCORED: Final = 10_000_000
#: Pixels a side of the neighbourhood.
_AROUND: Final = 5
_READ_AT_ONCE: Final = 16
_SCORED_AT_ONCE: Final = 200_000
#: Two figures closer than this are alike.
_ALIKE: Final = 0.01


@dataclass(frozen=True)
class Baseline:
    """The figures of a random forest on a split.

    Attributes:
        learned: pixels that it learned from.
        scored: pixels that it was scored on.
        figures: as of ``pixel_metrics.overall_figures``.
        iou: class → intersection over union; NaN for one that the split does not have.
    """

    learned: int
    scored: int
    figures: Mapping[str, float]
    iou: Mapping[str, float]

    def verdict(self, network: Mapping[str, float]) -> str:
        """Who is better, a network with these figures or the forest, in a sentence."""
        ahead = network["miou"] - self.figures["miou"]
        both = (
            f"mIoU {network['miou']:.3f} against {self.figures['miou']:.3f} of a random forest on "
            "the same pixels"
        )
        if abs(ahead) < _ALIKE:
            return f"{both}: alike, so that the forest, which is done in seconds, will do."
        if ahead < 0:
            return f"{both}: the forest wins, the network is not worth its training here."
        return f"{both}: the network wins."

    def as_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def score_forest(train: SplitPatches, test: SplitPatches, *, seed: int = 0) -> Baseline:
    """Train a forest on ``train`` and score it on ``test``, both with masks.

    Raises:
        DatasetError: ``train`` has no labelled pixel.
    """
    names = train.store.nomenclature.names
    counts = _counts(train)
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
    drawn = [
        (x[chosen], y[chosen])
        for x, y in _pixels(train)
        for chosen in [rng.random(len(y)) < kept[y]]
    ]
    x, y = _joined(drawn)
    learned = len(y)
    forest = RandomForestClassifier(
        _TREES, min_samples_leaf=_LEAF, n_jobs=available_cores(), random_state=seed
    ).fit(x, y)
    step = -(-int(_counts(test).sum()) // _SCORED) or 1
    confusion = np.zeros((len(names), len(names)), np.int64)
    for x, y in _together(_pixels(test, step)):
        np.add.at(confusion, (y, forest.predict(x)), 1)
    iou = class_figures(confusion)["iou"].tolist()
    return Baseline(
        learned=learned,
        scored=int(confusion.sum()),
        figures=overall_figures(confusion),
        iou=dict(zip(names, iou, strict=True)),
    )


def _counts(patches: SplitPatches) -> NDArray[np.int64]:
    """Labelled pixels of each class, (C,)."""
    found = np.zeros(256, np.int64)
    with PixelReader(patches.store) as reader:
        for some in _parts(patches.indices):
            positions = patches.store.legend.positions(reader.read_references(some))
            found += np.bincount(positions.ravel(), minlength=256)
    return found[: len(patches.store.nomenclature)]


def _parts(indices: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(indices), _READ_AT_ONCE):
        yield indices[start : start + _READ_AT_ONCE]


def _pixels(
    patches: SplitPatches, step: int = 1
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """Features (n, F) and classes (n,) of the labelled pixels of each patch, every ``step``-th."""
    with PixelReader(patches.store) as reader:
        for index in patches.indices.tolist():
            codes = reader.read_references(np.array([index]))[0]
            truth = patches.store.legend.positions(codes)
            known = truth != IGNORED
            dn = patches.store.read(index).dn
            yield features(dn, known)[::step], truth[known][::step]


def _together(
    pixels: Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]],
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """The same pixels, many at a time: a forest takes as long for few."""
    waiting: list[tuple[NDArray[np.float32], NDArray[np.uint8]]] = []
    for pair in pixels:
        waiting.append(pair)
        if sum(len(y) for _, y in waiting) >= _SCORED_AT_ONCE:
            yield _joined(waiting)
            waiting = []
    if any(len(y) for _, y in waiting):
        yield _joined(waiting)


def _joined(
    pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.uint8]]],
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    x, y = zip(*pairs, strict=True)
    return np.concatenate(x), np.concatenate(y)


def features(dn: Mapping[int, NDArray[np.uint16]], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What the forest sees of some pixels of a patch, float32 (n, features).

    All bands, in the order of ``GROUPS``; of those of 10 m also mean and standard deviation of
    5 × 5 pixels around.

    Args:
        dn: as of ``Patch``.
        known: bool (120, 120), the pixels.
    """
    found: list[NDArray[np.float32]] = []
    finest = RESOLUTIONS[0]
    for resolution in GROUPS:
        factor = resolution // finest
        for band in dn[resolution].astype(np.float32):
            found.append(band.repeat(factor, axis=0).repeat(factor, axis=1)[known])
    for band in dn[finest].astype(np.float64):
        mean = uniform_filter(band, _AROUND, mode="nearest")
        squares = uniform_filter(band**2, _AROUND, mode="nearest")
        found.append(mean[known].astype(np.float32))
        found.append(np.sqrt(np.maximum(squares - mean**2, 0))[known].astype(np.float32))
    return np.stack(found, axis=1)


def table(baseline: Baseline, rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float]]:
    """(class, IoU of the network, IoU of the forest) of ``rows``, as of an evaluation."""
    return [(row["name"], row["iou"], baseline.iou[row["name"]]) for row in rows if row["support"]]
