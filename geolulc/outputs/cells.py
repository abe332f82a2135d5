"""What the probabilities of a cell say: dominant class, presence, uncertainty. Arrays only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.landcover_map import LandCoverMap, MapHeader
from geolulc.nomenclature import NO_CLASS, LandCoverClass, nomenclature
from geolulc.outputs.areas import cell_areas

#: Presence threshold of a map whose model brings none.
DEFAULT_THRESHOLD: Final = 0.5
#: Presence of a class in a nodata cell.
NO_PRESENCE: Final = 255
#: Rows looked at together.
_ROWS: Final = 128


def map_classes(landcover_map: LandCoverMap | MapHeader) -> tuple[LandCoverClass, ...]:
    """The map's classes with code and colour, in the order of its probabilities."""
    names = nomenclature(landcover_map.nomenclature)
    return tuple(names[name] for name in landcover_map.classes)


def map_thresholds(landcover_map: LandCoverMap | MapHeader) -> NDArray[np.float32]:
    """float32 (class,): the probability at which a class counts as present."""
    if landcover_map.thresholds:
        return np.asarray(landcover_map.thresholds, np.float32)
    return np.full(len(landcover_map.classes), DEFAULT_THRESHOLD, np.float32)


def mapped_cells(landcover_map: LandCoverMap) -> NDArray[np.bool_]:
    """bool (rows, columns): cells that have probabilities."""
    return np.asarray(np.isfinite(landcover_map.probabilities).all(axis=0), np.bool_)


def _parts(rows: int) -> Iterator[slice]:
    """A fine map is large: what takes a copy of all its classes looks at some rows at a time."""
    for row in range(0, rows, _ROWS):
        yield slice(row, row + _ROWS)


def dominant_index(landcover_map: LandCoverMap) -> NDArray[np.intp]:
    """Position of the most probable class, (rows, columns); -1 in nodata cells.

    Equal probabilities go to the class that comes first in the map's order.
    """
    mapped = mapped_cells(landcover_map)
    index = np.empty(mapped.shape, np.intp)
    for rows in _parts(len(mapped)):
        p = np.where(mapped[rows], landcover_map.probabilities[:, rows], np.float32(-1))
        index[rows] = np.where(mapped[rows], p.argmax(axis=0), -1)
    return index


def dominant_codes(landcover_map: LandCoverMap) -> NDArray[np.uint8]:
    """uint8 (rows, columns): code of the most probable class; 0 in nodata cells."""
    codes = [c.code for c in map_classes(landcover_map)]
    table = np.array([*codes, NO_CLASS], np.uint8)  # index -1 finds the last
    return table[dominant_index(landcover_map)]


def present_classes(landcover_map: LandCoverMap) -> NDArray[np.uint8]:
    """uint8 (class, rows, columns): 1 where a class reaches its threshold, 0, 255 = nodata."""
    reached = landcover_map.probabilities >= map_thresholds(landcover_map)[:, None, None]
    return np.where(mapped_cells(landcover_map), reached.astype(np.uint8), np.uint8(NO_PRESENCE))


def entropy(landcover_map: LandCoverMap) -> NDArray[np.float32]:
    """Mean over the classes of the binary entropy in bits, (rows, columns); NaN = nodata.

    0: every class is surely there or surely not; 1: nothing is known. The classes of a
    multi-label model are not exclusive, so each has an entropy of its own (Shannon 1948).
    """
    total = np.zeros(landcover_map.grid.shape, np.float32)
    for probabilities in landcover_map.probabilities:  # one by one: a fine map is large
        p = np.clip(probabilities, 0, 1)
        total -= _plogp(p) + _plogp(1 - p)
    return total / np.float32(len(landcover_map.classes))


def entropy_of_one(landcover_map: LandCoverMap) -> NDArray[np.float32]:
    """Entropy of classes that exclude each other, (rows, columns), as a share of what is possible.

    0: one class is sure; 1: all are alike. For probabilities of a cell that add up to 1 (Shannon
    1948); NaN = nodata.
    """
    total = np.zeros(landcover_map.grid.shape, np.float32)
    for p in landcover_map.probabilities:
        total -= _plogp(np.clip(p, 0, 1))
    return total / np.float32(max(math.log2(len(landcover_map.classes)), 1))


def _plogp(p: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p == 0, np.float32(0), p * np.log2(p))


def margin(landcover_map: LandCoverMap) -> NDArray[np.float32]:
    """Highest less second highest probability, (rows, columns), 0..1; NaN = nodata.

    Near 0 the dominant class is a close call. A map of one class has its probability as margin.
    """
    p = landcover_map.probabilities
    if len(p) == 1:
        return np.asarray(p[0], np.float32)
    margin = np.empty(p.shape[1:], np.float32)
    for rows in _parts(len(margin)):
        ordered = np.partition(p[:, rows], len(p) - 2, axis=0)
        margin[rows] = ordered[-1] - ordered[-2]
    margin[~mapped_cells(landcover_map)] = np.nan
    return margin


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """One class over the whole map. Areas are hectares on the ground.

    Attributes:
        land_cover: the class.
        cells: number of cells in which it is dominant.
        area_ha: area of these cells.
        share: ``area_ha`` as a share of the mapped area.
        expected_area_ha: sum over all mapped cells of probability × area. Several classes can be
            present in one cell, so these can add up to more than the mapped area.
        mean_probability: mean over the mapped area; NaN without any.
        dominant_probability: mean over the area where it is dominant; NaN without any.
        present_cells: number of cells in which it reaches its threshold.
    """

    land_cover: LandCoverClass
    cells: int
    area_ha: float
    share: float
    expected_area_ha: float
    mean_probability: float
    dominant_probability: float
    present_cells: int


def summarize_classes(landcover_map: LandCoverMap) -> tuple[ClassSummary, ...]:
    """A ``ClassSummary`` for each class, in the map's order; classes without a cell included."""
    areas = cell_areas(landcover_map.grid)
    mapped = mapped_cells(landcover_map)
    total = float(areas[mapped].sum())
    dominant = dominant_index(landcover_map)
    presence = present_classes(landcover_map)
    summaries = []
    for i, land_cover in enumerate(map_classes(landcover_map)):
        p = landcover_map.probabilities[i].astype(np.float64)
        inside = dominant == i
        area = float(areas[inside].sum())
        expected = math.fsum((p * areas)[mapped])
        summaries.append(
            ClassSummary(
                land_cover=land_cover,
                cells=int(inside.sum()),
                area_ha=area,
                share=area / total if total else 0.0,
                expected_area_ha=expected,
                mean_probability=expected / total if total else math.nan,
                dominant_probability=(math.fsum((p * areas)[inside]) / area if area else math.nan),
                present_cells=int((presence[i] == 1).sum()),
            )
        )
    return tuple(summaries)


def mapped_area(landcover_map: LandCoverMap) -> float:
    """Hectares on the ground of all cells that have probabilities."""
    return float(cell_areas(landcover_map.grid)[mapped_cells(landcover_map)].sum())
