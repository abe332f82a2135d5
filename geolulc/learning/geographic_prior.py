"""The geographic prior of a run, from a file of labels of many patches."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.datasets.domain import degrees
from geolulc.learning.config import TrainConfig
from geolulc.learning.label_files import LabelFile
from geolulc.learning.patches import SplitPatches
from geolulc.nets.class_frequencies import frequencies_of
from geolulc.nets.geographic_prior import GeographicPrior

#: Metres a side of the cells whose patches are counted together.
CELL: Final = 20_000


def geographic_prior_of(patches: SplitPatches, config: TrainConfig) -> GeographicPrior | None:
    """The frequencies of classes by place in ``config.geographic_prior``; None without.

    Logits stand for those of the sets of labels where a file of them is given, else for those of
    the train split.

    Raises:
        DatasetError: a file of labels that cannot be read, is of other classes, or whose patches
            have no place.
    """
    if not config.geographic_prior:
        return None
    legend = patches.store.legend
    file = LabelFile.read(config.geographic_prior, legend)
    base = frequencies_of(patches.targets)
    if config.label_sets:
        same = config.label_sets == config.geographic_prior
        sets = file if same else LabelFile.read(config.label_sets, legend)
        base = frequencies_of(sets.labels, sets.country_weights(patches.groups["country"]))
    crs, x, y = file.centres
    zones = np.unique(crs, return_inverse=True)[1]
    keys = np.stack([zones, x // CELL, y // CELL], axis=1)
    _, cell, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    cell = cell.ravel()  # numpy 2.0 has two axes here

    def means(values: NDArray[np.generic]) -> NDArray[np.float64]:
        sums = np.zeros((len(counts), values.shape[1]))
        np.add.at(sums, cell, values)
        return np.asarray(sums / counts[:, None])

    places = means(degrees(crs, x, y))
    return GeographicPrior.of(places, counts.astype(np.float64), means(file.labels), base)
