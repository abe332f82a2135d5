"""Two maps of one grid side by side: two dates, or two models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.errors import ParameterError
from geolulc.landcover_map import LandCoverMap
from geolulc.nomenclature import LandCoverClass
from geolulc.outputs.areas import cell_areas
from geolulc.outputs.cells import dominant_codes, map_classes, mapped_cells

#: A transition's code is this × the class before + the class after.
TRANSITION_FACTOR: Final = 100


@dataclass(frozen=True, slots=True)
class ClassAgreement:
    """One class in two maps; hectares on the ground, of the cells that both map.

    ``agreement`` is the area where both have the class as a share of the area where either has
    it (intersection over union); NaN where neither has. ``probability_change`` is the mean of
    after less before, weighted by area.
    """

    land_cover: LandCoverClass
    before_ha: float
    after_ha: float
    both_ha: float
    agreement: float
    probability_change: float


@dataclass(frozen=True)
class Comparison:
    """Two maps compared, cell by cell.

    Attributes:
        before: the first map.
        after: the second map.
        transitions: uint16 (rows, columns): 100 × code before + code after; 0 where either map
            has no data.
        areas_ha: float64 (class, class): area by class before (row) and after (column).
        compared_ha: area that both map.
        only_before_ha: area that only the first maps.
        only_after_ha: area that only the second maps.
        classes: agreement of each class.
    """

    before: LandCoverMap
    after: LandCoverMap
    transitions: NDArray[np.uint16]
    areas_ha: NDArray[np.float64]
    compared_ha: float
    only_before_ha: float
    only_after_ha: float
    classes: tuple[ClassAgreement, ...]

    @property
    def agreement(self) -> float:
        """Share of the compared area with one class in both; NaN where nothing is compared."""
        return float(np.trace(self.areas_ha) / self.compared_ha) if self.compared_ha else np.nan


def compare_maps(before: LandCoverMap, after: LandCoverMap) -> Comparison:
    """Dominant classes and probabilities of two maps on the same grid.

    Raises:
        ParameterError: their grids, nomenclatures or classes differ.
    """
    _require_same(before, after)
    classes = map_classes(before)
    areas = cell_areas(before.grid)
    first, second = mapped_cells(before), mapped_cells(after)
    both = first & second
    old, new = dominant_codes(before), dominant_codes(after)
    transitions = np.where(both, TRANSITION_FACTOR * old.astype(np.uint16) + new, 0)
    index = np.zeros(max(c.code for c in classes) + 1, np.intp)
    index[[c.code for c in classes]] = range(len(classes))
    pair = index[old[both]] * len(classes) + index[new[both]]
    flat = np.bincount(pair, weights=areas[both], minlength=len(classes) ** 2)
    matrix = np.asarray(flat, np.float64).reshape(len(classes), len(classes))
    compared = float(areas[both].sum())
    change = (after.probabilities.astype(np.float64) - before.probabilities)[:, both]
    mean_change = change @ areas[both] / compared if compared else np.full(len(classes), np.nan)
    return Comparison(
        before=before,
        after=after,
        transitions=transitions.astype(np.uint16),
        areas_ha=matrix,
        compared_ha=compared,
        only_before_ha=float(areas[first & ~second].sum()),
        only_after_ha=float(areas[second & ~first].sum()),
        classes=tuple(
            _agreement(c, matrix, i, float(mean_change[i])) for i, c in enumerate(classes)
        ),
    )


def _agreement(
    land_cover: LandCoverClass, matrix: NDArray[np.float64], i: int, change: float
) -> ClassAgreement:
    before, after, both = matrix[i].sum(), matrix[:, i].sum(), matrix[i, i]
    either = before + after - both
    return ClassAgreement(
        land_cover,
        float(before),
        float(after),
        float(both),
        float(both / either) if either else np.nan,
        change,
    )


def _require_same(before: LandCoverMap, after: LandCoverMap) -> None:
    for what, a, b in (
        ("coordinate reference system", before.grid.tile.crs, after.grid.tile.crs),
        ("tile", before.grid.tile, after.grid.tile),
        ("cell size in metres", before.grid.stride, after.grid.stride),
        ("nomenclature", before.nomenclature, after.nomenclature),
        ("classes", before.classes, after.classes),
    ):
        if a != b:
            raise ParameterError(
                "the two maps",
                found=f"another {what}: {a} and {b}",
                expected="maps of the same grid and classes",
                remedy="Map both scenes of one tile with the same --stride and nomenclature.",
            )
