"""Labels on the pixels of a scene, strip by strip: what vector files and rasters both give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from geolulc.grid import TileGrid
from geolulc.nomenclature import Nomenclature

#: Side in metres of the pixels that get labels.
PIXEL: Final = 10
#: Position of a pixel without a label, and of one that several claim.
NO_LABEL, CONTESTED = -1, -2


@dataclass(frozen=True)
class Burnt:
    """Labels of a strip of pixels of 10 m over the scene's whole width.

    Attributes:
        positions: int32 (rows, columns), of the classes; ``NO_LABEL`` or ``CONTESTED``.
        places: int32 (rows, columns), the place (block, value, …) that each label belongs to.
    """

    positions: NDArray[np.int32]
    places: NDArray[np.int32]


class PlacedLabels(Protocol):
    """Labels on the ground of one scene."""

    def strip(self, first: int, last: int, folds: NDArray[np.int32] | None) -> Burnt:
        """The labels of pixel rows ``first`` to ``last`` (exclusive).

        ``folds``: of each place, as far as they are dealt: a pixel that features of two folds
        claim is ``CONTESTED`` too.
        """


class Labels(Protocol):
    """Labels wherever they lie."""

    @property
    def nomenclature(self) -> Nomenclature:
        """Their classes."""

    @property
    def place_count(self) -> int:
        """Number of places known so far."""

    def on(self, grid: TileGrid, around: str) -> PlacedLabels:
        """The labels on the ground of a scene.

        ``around``: the tile or scene, as the place of labels that are split by it.

        Raises:
            ParameterError: they cannot be brought to the scene's CRS.
        """

    def facts(self) -> dict[str, Any]:
        """What was read and what was left out (JSON-able), when all scenes were seen."""


def add_counts(counts: dict[tuple[int, int], int], burnt: Burnt, classes: int) -> None:
    """Add the labelled pixels of a strip to ``counts``: (place, position) → pixels."""
    known = burnt.positions >= 0
    keys = burnt.places[known].astype(np.int64) * classes + burnt.positions[known]
    for key, count in zip(*np.unique(keys, return_counts=True), strict=True):
        pair = divmod(int(key), classes)
        counts[pair] = counts.get(pair, 0) + int(count)
