"""The figures of a model on a split, whatever its task: their subject and names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from geolulc.learning.scoring import score_fractions
from geolulc.learning.task_figures import (
    FEW_MEANS,
    FEWEST_PATCHES,
    TASK_FIGURES,
    TaskFigures,
)
from geolulc.nets import Model
from geolulc.nets.devices import autocast_type, choose_device

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


@dataclass(frozen=True, kw_only=True)
class ReferenceFigures(SplitFigures):
    """Figures against reference maps.

    Attributes:
        caution: what the figures do not say.
        absent: names of the classes that the reference does not have; they are in no mean.
    """

    caution: str
    absent: Sequence[str]

    @property
    def remarks(self) -> Sequence[str]:
        """The limits of the figures."""
        return (self.caution, *super().remarks)


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


def score_split(
    model: Model,
    store: Store,
    split: str,
    indices: NDArray[np.int64] | None,
    *,
    masks: bool,
    device: str,
    **scoring: Any,
) -> tuple[SplitPatches, NDArray[np.float32], NDArray[np.float32]]:
    """The patches of a split, or those at ``indices``, their truth and the logits of ``model``.

    ``scoring`` is as for ``score_fractions``.

    Returns:
        Patches; labels, or of ``masks`` covers (``fractions.covers_of``), and logits: float32
        (n, classes) each, in the order of the model's classes.

    Raises:
        DatasetError: the split has no patch, for ``masks`` none with a reference map, or the
            store's classes are not the model's.
    """
    order = class_order(model, store)
    patches = patches_of_split(store, split, indices, masks=masks)
    place = choose_device(device)
    logits, covers = score_fractions(
        model.net.to(place),
        patches,
        device=place,
        dtype=autocast_type("auto", place),
        **scoring,
    )
    return patches, (covers if masks else patches.targets)[:, order], logits


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


def against_reference(
    model: Model, patches: SplitPatches, by_class: Mapping[str, NDArray[np.float64]]
) -> dict[str, Any]:
    """The fields of ``ReferenceFigures`` that follow from the subject and ``rows_by_class``."""
    rows = rows_by_class(model, by_class)
    return {
        **subject_of(model, patches),
        "caution": REFERENCE_CAUTIONS[patches.store.legend.codes],
        "classes": rows,
        "absent": [row["name"] for row in rows if not row["support"]],
    }


def rows_by_class(model: Model, figures: Mapping[str, NDArray[np.float64]]) -> list[dict[str, Any]]:
    """One mapping a class, with its name, of figures float64 (C,)."""
    return [
        {"name": name, **{key: float(values[c]) for key, values in figures.items()}}
        for c, name in enumerate(model.net.classes)
    ]


def figures_by_group(
    own: NDArray[np.str_], figures: Callable[[NDArray[np.bool_]], Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Name → patches, and ``figures`` of the rows, bool (n,), of each group but "".

    Args:
        own: (n,), the group of each patch, a country say.
        figures: of some rows.
    """
    groups = {name: own == name for name in sorted(set(own.tolist()) - {""})}
    return {name: {"patches": float(at.sum()), **figures(at)} for name, at in groups.items()}


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
