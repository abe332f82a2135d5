"""The figures of a model on a split, whatever its task: their subject and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.datasets import Store
from geolulc.datasets.legend import ReferenceCodes
from geolulc.datasets.statistics import without_nan
from geolulc.errors import DatasetError
from geolulc.learning.intervals import Interval
from geolulc.learning.leaks import leak_of, touching
from geolulc.learning.patches import SplitPatches
from geolulc.learning.task_figures import (
    FEW_MEANS,
    FEWEST_PATCHES,
    TASK_FIGURES,
    TaskFigures,
)
from geolulc.nets import Model

#: Codes of reference maps → what is said wherever figures against them are.
REFERENCE_CAUTIONS: Final[Mapping[ReferenceCodes, str]] = {
    "corine": "Agreement with CORINE, not accuracy: its smallest unit is 25 ha, and its borders "
    "are not exact to the pixel.",
    "nomenclature": "Agreement with the labels, where there are labels: the accuracy of a map "
    "needs a sample drawn at random (geolulc sample, geolulc assess).",
}


@dataclass(frozen=True, kw_only=True)
class SplitFigures:
    """Figures of a model on a split, for any task; NaN for a figure without data.

    Attributes:
        task: "patch", "fraction" or "pixel".
        model: name, sha256, temperature and config.
        store, split: what it was evaluated on.
        patches: their number.
        figures: name → value over all patches.
        classes: one mapping a class: name, support and its figures.
        countries, seasons: name → patches and the main figures; empty where not known.
        touching: patches that touch the ground that the model was trained on; None where the
            checkpoint does not say which that is.
        clusters: tiles (acquisitions, where tiles are not known) that the patches are of.
        intervals: figure → (low, high) of 95 %, by resampling clusters; {} for too few.
    """

    task: ClassVar[str]
    model: Mapping[str, Any]
    store: str
    split: str
    patches: int
    figures: Mapping[str, float]
    classes: Sequence[Mapping[str, Any]]
    countries: Mapping[str, Mapping[str, float]]
    seasons: Mapping[str, Mapping[str, float]]
    touching: int | None
    clusters: int
    intervals: Mapping[str, Interval]

    @property
    def names(self) -> TaskFigures:
        """The names of the task's figures."""
        return TASK_FIGURES[self.task]

    @property
    def facts(self) -> str:
        """How much was evaluated."""
        return f"{self.patches} patches"

    @property
    def remarks(self) -> Sequence[str]:
        """What a reader of the figures should know."""
        spread = f"Intervals are of 95 %, by resampling the {self.clusters} tiles."
        if not self.intervals:
            spread = f"No intervals: {self.clusters} tiles are too few to resample."
        leak = leak_of(self.touching, self.patches)
        few = [row for groups in (self.countries, self.seasons) for row in groups.values()]
        marked = any(row["patches"] < FEWEST_PATCHES for row in few)
        return (*leak, spread, FEW_MEANS) if marked else (*leak, spread)

    @property
    def missing(self) -> list[str]:
        """Names of the classes that the split does not have; they are left out of every mean."""
        return [row["name"] for row in self.classes if not row["support"]]

    def as_json(self) -> dict[str, Any]:
        """All fields as JSON values; None for NaN."""
        plain: dict[str, Any] = without_nan(asdict(self))
        return plain


def patches_of_split(
    store: Store, split: str, indices: NDArray[np.int64] | None = None, *, masks: bool = False
) -> SplitPatches:
    """The patches of a split, or those at ``indices``; with a reference map for ``masks``.

    Raises:
        DatasetError: there is none.
    """
    patches = SplitPatches(store, split, indices, masks=masks)
    if not len(patches):
        raise DatasetError(
            store.path,
            found=f"no patch in the split {split}",
            expected="patches to evaluate on",
            remedy="Choose another --split, or prepare a store with splits.",
        )
    return patches


def subject_of(model: Model, patches: SplitPatches) -> dict[str, Any]:
    """The fields of ``SplitFigures`` that name the model and the split."""
    return {
        "model": {
            "name": model.name,
            "sha256": model.sha256,
            "temperature": model.calibration.temperature,
            "config": model.net.config.as_mapping(),
        },
        "store": patches.store.path.name,
        "split": patches.split,
        "patches": len(patches),
        "touching": touching(model, patches),
    }


def rows_by_class(model: Model, figures: Mapping[str, NDArray[np.float64]]) -> list[dict[str, Any]]:
    """One mapping a class, with its name, of figures float64 (C,)."""
    return [
        {"name": name, **{key: float(values[c]) for key, values in figures.items()}}
        for c, name in enumerate(model.net.classes)
    ]


def names_where(flags: NDArray[np.bool_], names: Sequence[str], between: str = "; ") -> str:
    """The ``names`` whose flag, bool (C,), is set, as one text."""
    return between.join(name for name, flag in zip(names, flags, strict=True) if flag)


def class_order(model: Model, store: Store) -> list[int]:
    """Where the model's classes stand in the store's targets: by name, never by position."""
    names = store.nomenclature.names
    known = model.net.nomenclature
    if not store.nomenclature.agrees(known) or set(model.net.classes) != set(names):
        raise DatasetError(
            store.path,
            found=f"a store of the nomenclature {store.nomenclature.id}",
            expected=f"the model's: {known.id}, {len(model.net.classes)} classes",
            remedy=f"Prepare, or label, one with the nomenclature {known.id}.",
        )
    own, seen = ((f"Level-{x.level[1:]}", f"{x.layout}") for x in (store, model.net))
    for found, expected in zip(own, seen, strict=True):
        if found != expected:
            raise DatasetError(
                store.path,
                found=f"patches of {found}",
                expected=f"{expected}, which {model.name} was trained on",
                remedy="Take a model, or a store, of the same kind.",
            )
    return [names.index(name) for name in model.net.classes]
