"""Whether a source is worse than none: runs on the same test patches, compared in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from geolulc.learning.intervals import Difference, PatchFigures, differences
from geolulc.learning.patches import SplitPatches
from geolulc.transfer.job_folders import JobFolder
from geolulc.transfer.plan import SCRATCH
from geolulc.transfer.running import Experiment
from geolulc.transfer.tables import Cell, cell_of

Row = Mapping[str, Any]


@dataclass(frozen=True)
class BelowScratch:
    """A fine-tuned source whose AP macro is below that of the same patches from scratch.

    Attributes:
        cell: the source, its target, the way of fine-tuning and the number of patches.
        apart: fine-tuned against from scratch, AP macro, over test patches and seeds.
    """

    cell: Cell
    apart: Difference


def find_below_scratch(experiment: Experiment, rows: Sequence[Row]) -> list[BelowScratch]:
    """All fine-tuned sources whose mean is below that from scratch, with the paired interval.

    Tiles of the target's test split are resampled, and seeds; of each seed both runs are used.
    Transfer is negative where the interval leaves out 0.
    """
    by_cell: dict[Cell, dict[int, Row]] = {}
    for row in rows:
        if row["target_size"] and row["figures"]["ap_macro"] is not None:
            by_cell.setdefault(cell_of(row), {})[row["seed"]] = row
    targets: dict[str, _Target] = {}
    found = []
    for cell, own in by_cell.items():
        fresh = by_cell.get(Cell(SCRATCH, cell.target, "none", SCRATCH, cell.size), {})
        seeds = sorted(own.keys() & fresh.keys())
        if cell.source == SCRATCH or not seeds:
            continue
        means = [np.mean([of[s]["figures"]["ap_macro"] for s in seeds]) for of in (own, fresh)]
        if means[0] >= means[1]:
            continue
        target = targets.setdefault(cell.target, _Target(experiment, cell.target))
        pairs = [(target.figures(own[s]), target.figures(fresh[s])) for s in seeds]
        apart = differences(pairs, pairs[0][0].clusters)["ap_macro"]
        found.append(BelowScratch(cell, apart))
    return found


class _Target:
    """The test patches of a target, and the figures of runs on them."""

    def __init__(self, experiment: Experiment, name: str) -> None:
        self._folder = experiment.folder
        patches = SplitPatches(experiment.store, "test", experiment.regions[name]["test"])
        self._has = patches.targets.any(axis=0)
        self._truth = patches.targets[:, self._has]
        self._clusters = patches.clusters

    def figures(self, row: Row) -> PatchFigures:
        logits = np.load(JobFolder(self._folder, row["job"]).logits(row["remedy"]))
        scores = expit(logits[:, self._has].astype(np.float64))
        return PatchFigures(self._truth, scores, scores >= 0.5, self._clusters)
