"""A random forest beside a network, on the same pixels: what it has to be better than."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from geolulc.learning.forest import Pixels, grow_forest, joined, labelled_pixels, read_pixels
from geolulc.learning.patches import SplitPatches
from geolulc.learning.pixel_metrics import class_figures, overall_figures

#: Pixels that are scored at most: beyond, every n-th of each patch.
_SCORED: Final = 10_000_000
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
        return verdict(network["miou"], self.figures["miou"])

    def as_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def verdict(network: float, forest: float) -> str:
    """Who is better by mIoU, a network or a forest on the same pixels, in a sentence."""
    ahead = network - forest
    both = f"mIoU {network:.3f} against {forest:.3f} of a random forest on the same pixels"
    if abs(ahead) < _ALIKE:
        return f"{both}: alike, so that the forest, which is done in seconds, will do."
    if ahead < 0:
        return (
            f"{both}: the forest wins, the network is not worth its training here. "
            "geolulc train … --backbone forest keeps one that maps."
        )
    return f"{both}: the network wins."


def score_forest(
    train: SplitPatches,
    test: SplitPatches,
    bands: Mapping[int, tuple[str, ...]],
    *,
    seed: int = 0,
) -> Baseline:
    """Train a forest on ``train`` and score it on ``test``, both with masks.

    ``bands``, seed and errors are those of ``grow_forest``. Only labelled pixels are looked at.
    """
    names = train.store.nomenclature.names
    forest = grow_forest(train, bands, seed=seed)
    step = -(-int(labelled_pixels(test).sum()) // _SCORED) or 1
    confusion = np.zeros((len(names), len(names)), np.int64)
    for x, y in _together(read_pixels(test, forest.net, step)):
        np.add.at(confusion, (y, forest.classifier.predict(x)), 1)
    iou = class_figures(confusion)["iou"].tolist()
    return Baseline(
        learned=forest.learned,
        scored=int(confusion.sum()),
        figures=overall_figures(confusion),
        iou=dict(zip(names, iou, strict=True)),
    )


def _together(pixels: Iterator[Pixels]) -> Iterator[Pixels]:
    """The same pixels, many at a time: a forest takes as long for few."""
    waiting: list[Pixels] = []
    for pair in pixels:
        waiting.append(pair)
        if sum(len(y) for _, y in waiting) >= _SCORED_AT_ONCE:
            yield joined(waiting)
            waiting = []
    if any(len(y) for _, y in waiting):
        yield joined(waiting)


def table(baseline: Baseline, rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float]]:
    """(class, IoU of the network, IoU of the forest) of ``rows``, as of an evaluation."""
    return [(row["name"], row["iou"], baseline.iou[row["name"]]) for row in rows if row["support"]]
