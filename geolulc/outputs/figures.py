"""What a map amounts to in a few numbers, which those of its parts add up to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolulc.landcover_map import LandCoverMap
from geolulc.outputs.cells import ClassSummary, entropy, mapped_area, mapped_cells


@dataclass(frozen=True, slots=True)
class MapFigures:
    """Counts and sums over the cells of a map; means are properties.

    Attributes:
        cells: number of cells.
        mapped: number of those that have probabilities.
        area_ha: hectares on the ground of these.
        valid: sum of the valid shares of the cells where it is known, and their number.
        clear: the same of the clear shares; None where nothing is known of them.
        clear_mapped: the same over mapped cells only.
        half_clear: mapped cells with a clear share below one half.
        entropy: sum over the mapped cells.
    """

    cells: int = 0
    mapped: int = 0
    area_ha: float = 0.0
    valid: tuple[float, int] = (0.0, 0)
    clear: tuple[float, int] | None = None
    clear_mapped: tuple[float, int] = (0.0, 0)
    half_clear: int = 0
    entropy: float = 0.0

    @property
    def mean_valid(self) -> float | None:
        """Mean valid share; None where it is not known."""
        return _mean(self.valid)

    @property
    def mean_clear(self) -> float | None:
        """Mean clear share; None where it is not known."""
        return _mean(self.clear)


def figures_of(landcover_map: LandCoverMap) -> MapFigures:
    """The figures of a map, or of a part of one."""
    mapped = mapped_cells(landcover_map)
    clear = landcover_map.clear
    seen = np.zeros(0, np.float32) if clear is None else clear[mapped]
    return MapFigures(
        cells=mapped.size,
        mapped=int(mapped.sum()),
        area_ha=mapped_area(landcover_map),
        valid=_known_sum(landcover_map.valid),
        clear=None if clear is None else _known_sum(clear),
        clear_mapped=_known_sum(seen),
        half_clear=int((seen < 0.5).sum()),
        entropy=float(entropy(landcover_map)[mapped].sum(dtype=np.float64)),
    )


def add_figures(a: MapFigures, b: MapFigures) -> MapFigures:
    """The figures of two parts of a map as those of both together."""
    return MapFigures(
        cells=a.cells + b.cells,
        mapped=a.mapped + b.mapped,
        area_ha=a.area_ha + b.area_ha,
        valid=_sum(a.valid, b.valid),
        clear=_sum(a.clear, b.clear) if a.clear and b.clear else a.clear or b.clear,
        clear_mapped=_sum(a.clear_mapped, b.clear_mapped),
        half_clear=a.half_clear + b.half_clear,
        entropy=a.entropy + b.entropy,
    )


def add_summaries(
    total: Sequence[ClassSummary], part: Sequence[ClassSummary]
) -> tuple[ClassSummary, ...]:
    """Class by class, the summaries of two parts of a map as those of both together."""
    area = math.fsum(s.area_ha for s in (*total, *part))
    return tuple(_both(a, b, area) for a, b in zip(total, part, strict=True))


def _both(a: ClassSummary, b: ClassSummary, mapped_ha: float) -> ClassSummary:
    area = a.area_ha + b.area_ha
    expected = a.expected_area_ha + b.expected_area_ha
    dominant = sum(s.dominant_probability * s.area_ha for s in (a, b) if s.area_ha)
    return ClassSummary(
        land_cover=a.land_cover,
        cells=a.cells + b.cells,
        area_ha=area,
        share=area / mapped_ha if mapped_ha else 0.0,
        expected_area_ha=expected,
        mean_probability=expected / mapped_ha if mapped_ha else math.nan,
        dominant_probability=dominant / area if area else math.nan,
        present_cells=a.present_cells + b.present_cells,
    )


def _known_sum(shares: NDArray[np.float32]) -> tuple[float, int]:
    known = np.isfinite(shares)
    return float(shares[known].sum(dtype=np.float64)), int(known.sum())


def _sum(a: tuple[float, int], b: tuple[float, int]) -> tuple[float, int]:
    return a[0] + b[0], a[1] + b[1]


def _mean(pair: tuple[float, int] | None) -> float | None:
    return pair[0] / pair[1] if pair and pair[1] else None
