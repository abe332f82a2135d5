"""The sets of labels that patches have, and how often: of a run's patches, or of many others."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.errors import DatasetError
from geolulc.learning.config import TrainConfig
from geolulc.learning.label_files import LabelFile
from geolulc.learning.patches import SplitPatches
from geolulc.nets.label_sets import LabelSets

#: The most frequent sets that are kept: of BigEarthNet v2's 4,000 they are 98 % of the patches.
MOST_SETS: Final = 1024


def label_sets_of(patches: SplitPatches, config: TrainConfig) -> LabelSets | None:
    """The layer of ``config.label_correlation`` "sets" for a train split; None for others.

    Raises:
        DatasetError: a file of labels that cannot be read, is of other classes, or has no patch in
            a country of the train split.
    """
    if config.label_correlation != "sets":
        return None
    if not config.label_sets:
        labels = patches.targets.astype(np.uint8)
        return LabelSets.of(*shares_of_sets(labels, np.ones(len(labels))))
    file = LabelFile.read(config.label_sets, patches.store.legend)
    weights = file.country_weights(patches.groups["country"])
    if not weights.any():
        raise DatasetError(
            file.path,
            found="no train patch in a country of the run's train split",
            expected="labels of patches of these countries",
            remedy="Leave label_sets out.",
        )
    return LabelSets.of(*shares_of_sets(file.labels, weights))


def shares_of_sets(
    labels: NDArray[np.uint8], weights: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The ``MOST_SETS`` most frequent rows of ``labels`` (n, C), and their shares, adding up to 1.

    ``weights`` (n,): how much each row counts; rows of 0 do not.
    """
    sets, number = np.unique(labels[weights > 0], axis=0, return_inverse=True)
    counts = np.bincount(number.ravel(), weights[weights > 0])
    kept = np.argsort(-counts, kind="stable")[:MOST_SETS]
    return sets[kept], counts[kept] / counts[kept].sum()
