"""How well fractions of cover agree with reference maps, patch by patch and in sum.

As for pixels, the figures are agreement with the reference, not accuracy on the ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from geolulc.datasets import Store
from geolulc.learning.fractions import FractionFigures
from geolulc.learning.intervals import intervals
from geolulc.learning.patches import SplitPatches
from geolulc.learning.plots import plot_fractions
from geolulc.learning.report import Section, write_folder
from geolulc.learning.split_figures import (
    ReferenceFigures,
    against_reference,
    figures_by_group,
    score_split,
)
from geolulc.learning.task_figures import TASK_FIGURES
from geolulc.nets import Model
from geolulc.progress import Progress

#: Figures of a class, and those that have an interval.
_OF_CLASS: Final = ("cover", "mapped", "largest", "bias", "mae")
_WITH_INTERVAL: Final = ("bias", "mae")


@dataclass(frozen=True)
class Fractions:
    """A model's fractions for the patches of a split.

    Attributes:
        model: the model.
        patches: the split, with masks.
        covers: float32 (n, classes), of the reference (``fractions.covers_of``).
        fractions: float64 (n, classes), of the model; they add up to 1.
    """

    model: Model
    patches: SplitPatches
    covers: NDArray[np.float32]
    fractions: NDArray[np.float64]

    def figures(self, rows: NDArray[np.bool_] | None = None) -> FractionFigures:
        """The figures of all patches, or of ``rows``, bool (n,)."""
        chosen = slice(None) if rows is None else rows
        clusters = self.patches.clusters
        return FractionFigures(self.covers[chosen], self.fractions[chosen], clusters[chosen])


@dataclass(frozen=True, kw_only=True)
class FractionEvaluation(ReferenceFigures):
    """Figures of a model of fractions.

    Attributes:
        classes: of each class name, support (patches that have it), cover (its share of the
            labelled ground), mapped (the model's), largest (if each patch were all of its most
            extensive class), bias (mapped less cover) and mae, the mean absolute error of its
            fraction in a patch; of the last two ``_low`` and ``_high`` of the 95 % interval.
        labelled: share of the patches' ground that has a class in the reference.
    """

    labelled: float
    task: ClassVar[str] = "fraction"

    @property
    def remarks(self) -> Sequence[str]:
        """The limits of the figures, and the ground that they leave out."""
        return (
            *super().remarks,
            f"{100 * (1 - self.labelled):.1f} % of the ground has a code without a class and is "
            "not counted.",
        )


def predict_fractions(
    model: Model,
    store: Store,
    split: str = "val",
    *,
    indices: NDArray[np.int64] | None = None,
    device: str = "auto",
    batch_size: int = 64,
    workers: int = 2,
    progress: Progress | None = None,
) -> Fractions:
    """The fractions of ``model`` for patches of a split, or at ``indices``, with a reference map.

    Raises:
        DatasetError: the split has no patch or no reference map, or the store's classes are not
            the model's.
    """
    patches, covers, logits = score_split(
        model,
        store,
        split,
        indices,
        masks=True,
        device=device,
        batch_size=batch_size,
        workers=workers,
        progress=progress,
    )
    calibrated = model.calibration.logits(logits.astype(np.float64))
    return Fractions(model, patches, covers, softmax(calibrated, axis=1))


def evaluate_fractions(found: Fractions) -> FractionEvaluation:
    """All figures of ``found``."""
    model, patches, figures = found.model, found.patches, found.figures()
    whole = figures.whole
    spreads = intervals(figures, figures.clusters)
    by_class = {"support": (found.covers > 0).sum(axis=0).astype(np.float64)}
    by_class |= {name: figures.of_class(name, whole) for name in _OF_CLASS}
    for end, name in ((end, name) for name in _WITH_INTERVAL for end in (0, 1)):
        ends = {key: spread[end] for key, spread in spreads.items()}
        unknown = np.full(len(model.net.classes), np.nan)
        values = figures.of_class(name, ends) if ends else unknown
        by_class[f"{name}_{('low', 'high')[end]}"] = values
    shown = TASK_FIGURES[FractionEvaluation.task].titles
    return FractionEvaluation(
        **against_reference(model, patches, by_class),
        labelled=float(found.covers.sum(axis=1).mean()),
        figures={name: whole[name] for name in shown},
        countries=_by_group(found, "country"),
        seasons=_by_group(found, "season"),
        clusters=figures.clusters,
        intervals={name: spread for name, spread in spreads.items() if name in shown},
    )


def write_fraction_report(
    found: Fractions, evaluation: FractionEvaluation, folder: Path, *, overwrite: int = 0
) -> None:
    """Write ``folder`` with report.md, its pictures, and evaluation.json.

    Raises:
        OutputError: the folder exists or cannot be written.
    """
    store, names = found.patches.store, found.model.net.classes
    section = Section(
        "Fractions by patch",
        "fractions.png",
        "Fraction of each class in model and reference, a dot a patch",
        plot_fractions(found.covers, found.fractions, store.nomenclature, names),
    )
    write_folder(folder, evaluation, store, [section], overwrite=overwrite)


def _by_group(found: Fractions, kind: str) -> dict[str, dict[str, float]]:
    names = TASK_FIGURES[FractionEvaluation.task].groups

    def figures(rows: NDArray[np.bool_]) -> dict[str, float]:
        whole = found.figures(rows).whole
        return {key: whole[key] for key in names}

    return figures_by_group(found.patches.groups[kind], figures)
