"""What a map's pixels add up to, counted while they pass."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.nomenclature import LandCoverClass, nomenclature
from geolulc.outputs.cells import ClassSummary
from geolulc.outputs.pixel_areas import area_rows
from geolulc.outputs.pixel_ranks import Ranking
from geolulc.pixel_map import FULL, NODATA, PixelMapHeader

#: Rows counted at a time: a share of the processor's cache.
_AT_ONCE: Final = 16


def pixel_classes(header: PixelMapHeader) -> tuple[LandCoverClass, ...]:
    """The map's classes with code and colour, in the order of its probabilities."""
    names = nomenclature(header.nomenclature)
    return tuple(names[name] for name in header.classes)


class PixelTally:
    """Pixels, hectares and probabilities by class.

    Blocks of rows are added from top to bottom. Pixels and areas are exact; means are equal to
    the last bit where the blocks are.
    """

    def __init__(self, header: PixelMapHeader) -> None:
        self._header = header
        count = len(header.classes)
        self._pixels = np.zeros(count, np.int64)
        self._areas = np.zeros(count)
        self._confident = np.zeros(count)  # probability × area where dominant
        self._expected = np.zeros(count)  # probability × area everywhere

    def add(
        self, row: int, probabilities: NDArray[np.uint8], ranking: Ranking, column: int = 0
    ) -> None:
        """Count a block from ``row`` and ``column`` on: uint8 (class, rows, columns), its ranking.

        By default its rows are whole.
        """
        columns = slice(column, column + probabilities.shape[2])
        areas = area_rows(self._header.grid, row, probabilities.shape[1], columns)
        for top in range(0, probabilities.shape[1], _AT_ONCE):
            rows = slice(top, top + _AT_ONCE)
            self._add(probabilities[:, rows], ranking, areas[rows], rows)

    def _add(
        self,
        probabilities: NDArray[np.uint8],
        ranking: Ranking,
        areas: NDArray[np.float64],
        rows: slice,
    ) -> None:
        count = len(self._pixels)
        highest = ranking.probabilities[0, rows]
        mapped = highest != NODATA
        whole = bool(mapped.all())
        known = areas if whole else np.where(mapped, areas, 0.0)
        dominant = ranking.index[0, rows].ravel()
        weights = known.ravel()
        self._areas += np.bincount(dominant, weights=weights, minlength=count)
        self._confident += np.bincount(dominant, weights=weights * highest.ravel(), minlength=count)
        self._pixels += np.bincount(
            dominant if whole else dominant[mapped.ravel()], minlength=count
        )
        flat = probabilities.reshape(count, -1).astype(np.float32)
        self._expected += flat @ weights.astype(np.float32)

    @property
    def mapped_pixels(self) -> int:
        """Pixels that have a class."""
        return int(self._pixels.sum())

    @property
    def mapped_area(self) -> float:
        """Hectares on the ground of the pixels that have a class."""
        return float(self._areas.sum())

    def summaries(self) -> tuple[ClassSummary, ...]:
        """A ``ClassSummary`` for each class, in the map's order; ``cells`` are pixels.

        The classes of a pixel exclude each other: a class is present where it is dominant, and
        expected areas add up to the mapped area.
        """
        total = self.mapped_area
        expected = self._expected / FULL
        return tuple(
            ClassSummary(
                land_cover=land_cover,
                cells=int(self._pixels[i]),
                area_ha=float(self._areas[i]),
                share=float(self._areas[i] / total) if total else 0.0,
                expected_area_ha=float(expected[i]),
                mean_probability=float(expected[i] / total) if total else math.nan,
                dominant_probability=(
                    float(self._confident[i] / FULL / self._areas[i])
                    if self._pixels[i]
                    else math.nan
                ),
                present_cells=int(self._pixels[i]),
            )
            for i, land_cover in enumerate(pixel_classes(self._header))
        )
