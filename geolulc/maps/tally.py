"""The figures of a map: counts, areas and means, added up block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.maps.areas import ground_areas
from geolulc.maps.encoding import FULL
from geolulc.maps.header import LandCoverMap, MapBlock, MapHeader
from geolulc.maps.ranking import Ranked, doubt
from geolulc.maps.sample import Sample
from geolulc.nomenclature import LandCoverClass

#: Rows counted at a time: a share of the processor's cache.
_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """One class over the whole map. Areas are hectares on the ground.

    Attributes:
        land_cover: the class.
        cells: number of cells in which it is the most probable class.
        area_ha: area of these cells; in a map of cover fractions the sum over all cells of
            fraction × area, the area that the class covers.
        share: ``area_ha`` as a share of the mapped area.
        expected_area_ha: sum over all mapped cells of probability × area, of a class that excludes
            the others; these add up to the mapped area. None where several classes can be present
            in one cell: the sum would count the whole cell for each of them, and of cover
            fractions, where it is ``area_ha``.
        mean_probability: mean probability, or cover fraction, over the mapped area; NaN without
            any.
        dominant_probability: mean over the area where it is the most probable; NaN without any.
        present_cells: number of cells in which it reaches its threshold; of a class that excludes
            the others, in which it is the most probable.
    """

    land_cover: LandCoverClass
    cells: int
    area_ha: float
    share: float
    expected_area_ha: float | None
    mean_probability: float
    dominant_probability: float
    present_cells: int


@dataclass(frozen=True, slots=True)
class MapFigures:
    """Counts and sums over the cells of a map; means are properties.

    Attributes:
        cells: number of cells.
        mapped: number of cells that have probabilities.
        area_ha: hectares on the ground of the mapped cells.
        valid: sum of the valid shares of the cells where it is known, and their number.
        clear: sum and number of the clear shares; None where nothing is known of them.
        clear_mapped: sum and number of the clear shares of mapped cells.
        half_clear: mapped cells with a clear share below one half.
        clouded: cells with valid pixels that have no data because they are less clear than the
            header's ``min_clear``.
        entropy: sum of ``ranking.doubt`` over the mapped cells.
        unlike: mapped cells whose spectra are beyond the limit of the training's, and number of
            mapped cells of which that is known.
        most_observations: of the cells of a mosaic; 0 for the map of a scene.
        unknown: mean share of probability that the files of a mosaic's maps do not hold.
        overflown: cells without data because a network's numbers were too large.
    """

    cells: int = 0
    mapped: int = 0
    area_ha: float = 0.0
    valid: tuple[float, int] = (0.0, 0)
    clear: tuple[float, int] | None = None
    clear_mapped: tuple[float, int] = (0.0, 0)
    half_clear: int = 0
    clouded: int = 0
    entropy: float = 0.0
    unlike: tuple[int, int] = (0, 0)
    most_observations: int = 0
    unknown: float = 0.0
    overflown: int = 0

    @property
    def mean_valid(self) -> float | None:
        """Mean valid share; None where it is not known."""
        return self.valid[0] / self.valid[1] if self.valid[1] else None

    @property
    def mean_clear(self) -> float | None:
        """Mean clear share; None where it is not known."""
        return self.clear[0] / self.clear[1] if self.clear and self.clear[1] else None

    @property
    def mean_entropy(self) -> float:
        """Mean of ``ranking.doubt`` over the mapped cells; 0 without any."""
        return self.entropy / self.mapped if self.mapped else 0.0


@dataclass(frozen=True)
class MapTotals:
    """A map after its last block.

    Attributes:
        header: the map.
        figures: counts and means of all its cells.
        summaries: its classes.
        sample: its cells at regular steps, as a map of larger cells.
    """

    header: MapHeader
    figures: MapFigures
    summaries: tuple[ClassSummary, ...]
    sample: LandCoverMap


class Tally:
    """Cells, hectares and probabilities by class, and the figures of the whole map.

    Counts and areas are exact, whatever the sizes of the blocks.

    Attributes:
        header: the map.
        sample: its cells at regular steps, for pictures and pages.
    """

    def __init__(self, header: MapHeader) -> None:
        self.header = header
        self.sample = Sample(header)
        count = len(header.classes)
        self._cells = np.zeros(count, np.int64)
        self._present = np.zeros(count, np.int64)
        self._areas = np.zeros(count)
        self._confident = np.zeros(count)  # probability × area where it is the most probable
        self._expected = np.zeros(count)  # probability × area everywhere
        self._valid: tuple[float, int] = (0.0, 0)
        self._clear: tuple[float, int] | None = None
        self._clear_mapped: tuple[float, int] = (0.0, 0)
        self._half_clear = 0
        self._clouded = 0
        self._entropy = 0.0
        self._unlike = 0, 0
        self._most_observations = 0
        self._overflown = 0
        self._missing = 0  # steps of probability that the maps of a mosaic did not hold

    def add(self, block: MapBlock, ranked: Ranked) -> None:
        """Count the cells of a block."""
        self.sample.add(block)
        high, wide = block.shape
        columns = slice(block.column, block.column + wide)
        rows = slice(block.row, block.row + high)
        areas = ground_areas(self.header.grid, self.header.unit.areas, rows, columns)
        if block.probabilities.dtype == np.uint8:
            for top in range(0, high, _AT_ONCE):
                self._add_steps(block.probabilities, ranked, areas, slice(top, top + _AT_ONCE))
        else:
            self._add_shares(block.shares, ranked, areas)
        self._add_quality(block, ranked)
        self._overflown += block.overflown

    def _add_steps(
        self,
        probabilities: NDArray[np.float32] | NDArray[np.uint8],
        ranked: Ranked,
        areas: NDArray[np.float64],
        rows: slice,
    ) -> None:
        """Count some rows of uint8 probabilities, of classes that exclude each other."""
        count = len(self._cells)
        steps, highest = probabilities[:, rows], ranked.probabilities[0, rows]
        mapped = ranked.mapped[rows]
        whole = bool(mapped.all())
        weights = (areas[rows] if whole else np.where(mapped, areas[rows], 0.0)).ravel()
        first = ranked.index[0, rows].ravel()
        self._areas += np.bincount(first, weights=weights, minlength=count)
        self._confident += (
            np.bincount(first, weights=weights * highest.ravel(), minlength=count) / FULL
        )
        cells = np.bincount(first if whole else first[mapped.ravel()], minlength=count)
        self._cells += cells
        self._present += cells
        flat = steps.reshape(count, -1).astype(np.float32)
        self._expected += (flat @ weights.astype(np.float32)).astype(np.float64) / FULL

    def _add_shares(
        self, shares: NDArray[np.float32], ranked: Ranked, areas: NDArray[np.float64]
    ) -> None:
        """Count the cells of float32 probabilities."""
        count, mapped = len(self._cells), ranked.mapped
        first, weights = ranked.index[0][mapped], areas[mapped]
        highest = ranked.probabilities[0][mapped].astype(np.float64)
        self._cells += np.bincount(first, minlength=count)
        self._areas += np.bincount(first, weights=weights, minlength=count)
        self._confident += np.bincount(first, weights=weights * highest, minlength=count)
        thresholds = self.header.presence_thresholds
        for i, layer in enumerate(shares):
            p = layer[mapped]
            # not @: its threads would compete with those that read and compress
            self._expected[i] += float((p * weights).sum())
            reached = first == i if self.header.exclusive else p >= thresholds[i]
            self._present[i] += int(reached.sum())
        if not self.header.exclusive:
            found = doubt(self.header, shares)[mapped]
            self._entropy += float(found.sum(dtype=np.float64))

    def _add_quality(self, block: MapBlock, ranked: Ranked) -> None:
        if block.valid is not None:
            self._valid = _sum_with(self._valid, block.valid)
        if block.clear is not None:
            self._clear = _sum_with(self._clear, block.clear)
            seen = block.clear[ranked.mapped]
            self._clear_mapped = _sum_with(self._clear_mapped, seen)
            self._half_clear += int((seen < 0.5).sum())
            hidden = ~ranked.mapped & (block.clear < self.header.min_clear)
            if block.valid is not None:
                hidden &= block.valid > 0
            self._clouded += int(hidden.sum())
        if block.unlikeness is not None:
            seen = block.unlikeness[ranked.mapped]
            beyond, known = self._unlike
            self._unlike = beyond + int((seen > 1).sum()), known + int(np.isfinite(seen).sum())
        if block.count is not None:
            self._most_observations = max(self._most_observations, int(block.count.max(initial=0)))
            if block.probabilities.dtype == np.uint8:
                total = block.probabilities.sum(axis=0, dtype=np.uint16)[ranked.mapped]
                self._missing += int((FULL - np.minimum(total, FULL)).sum(dtype=np.int64))

    @property
    def figures(self) -> MapFigures:
        """The figures of the whole map; the entropy of exclusive classes is that of the sample."""
        rows, columns = self.header.grid.shape
        mapped = int(self._cells.sum())
        clear, clear_mapped, doubt = self._clear, self._clear_mapped, self._entropy
        if self.header.exclusive:
            doubt = mapped * self.sample.mean_entropy
            # pixels that the scene classification masks have no data: those that are left are clear
            clear_mapped = (float(mapped), mapped) if self.header.masked_scl else (0.0, 0)
            clear = clear_mapped if self.header.masked_scl else None
        return MapFigures(
            cells=rows * columns,
            mapped=mapped,
            area_ha=float(self._areas.sum()),
            valid=self._valid,
            clear=clear,
            clear_mapped=clear_mapped,
            half_clear=self._half_clear,
            clouded=self._clouded,
            entropy=doubt,
            unlike=self._unlike,
            most_observations=self._most_observations,
            unknown=self._missing / FULL / max(mapped, 1),
            overflown=self._overflown,
        )

    @property
    def summaries(self) -> tuple[ClassSummary, ...]:
        """A ``ClassSummary`` for each class, in the map's order, those without a cell included."""
        total = float(self._areas.sum())
        areas = self._expected if self.header.fractions else self._areas
        return tuple(
            ClassSummary(
                land_cover=land_cover,
                cells=int(self._cells[i]),
                area_ha=float(areas[i]),
                share=float(areas[i] / total) if total else 0.0,
                expected_area_ha=float(self._expected[i]) if self.header.exclusive else None,
                mean_probability=float(self._expected[i] / total) if total else math.nan,
                dominant_probability=(
                    float(self._confident[i] / self._areas[i]) if self._cells[i] else math.nan
                ),
                present_cells=int(self._present[i]),
            )
            for i, land_cover in enumerate(self.header.land_cover)
        )

    @property
    def totals(self) -> MapTotals:
        """Figures, classes and sample of the map."""
        return MapTotals(self.header, self.figures, self.summaries, self.sample.map)


def _sum_with(known: tuple[float, int] | None, shares: NDArray[np.float32]) -> tuple[float, int]:
    """Sum and number of the shares that are known, with those of one more array."""
    total, number = known or (0.0, 0)
    more = shares[np.isfinite(shares)]
    return total + float(more.sum(dtype=np.float64)), number + more.size
