"""What a map holds, and what it says at points: one walk over its windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geolulc.accuracy.classified import NOWHERE, ClassifiedMap, Totals
from geolulc.accuracy.estimators import UNKNOWN
from geolulc.progress import Progress

#: At most so many pixels along a side of the overview.
_OVERVIEW: Final = 600


@dataclass(frozen=True)
class Seen:
    """A map, and what it says at points.

    Attributes:
        totals: pixels and hectares of each class.
        row, column: intp (point,): the pixel of each point; negative or beyond the map for none.
        mapped: intp (point,): position of its class; ``UNKNOWN`` for no data, or off the map.
        presence: bool (class, point): the classes that the map has there.
        hectares: float64 (point,): the area of the pixel; 1 off the map.
        overview: int32 (rows, columns): positions of the classes of every ``step``-th pixel.
        step: pixels between two of the overview.
    """

    totals: Totals
    row: NDArray[np.intp]
    column: NDArray[np.intp]
    mapped: NDArray[np.intp]
    presence: NDArray[np.bool_]
    hectares: NDArray[np.float64]
    overview: NDArray[np.int32]
    step: int


def look(
    classified: ClassifiedMap,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    progress: Progress | None = None,
) -> Seen:
    """Count the pixels of a map, and read it at points.

    Args:
        classified: the map.
        x, y: float64 (point,): coordinates in its CRS; NaN for none.
        progress: called with (done, total) windows.
    """
    count = len(classified.classes)
    totals = Totals(np.zeros(count, np.int64), np.zeros(count))
    row, column = pixels_at(classified, x, y)
    mapped = np.full(len(x), UNKNOWN, np.intp)
    presence = np.zeros((count, len(x)), bool)
    hectares = np.ones(len(x))
    step = -(-max(classified.shape) // _OVERVIEW)
    overview = np.full([-(-n // step) for n in classified.shape], NOWHERE, np.int32)
    walk = list(classified.windows())
    for i, window in enumerate(walk, start=1):
        positions, areas = classified.positions(window), classified.hectares(window)
        totals += Totals.of(positions, areas, count)
        top, left = -window.row_off % step, -window.col_off % step
        part = positions[top::step, left::step]
        first = (window.row_off + top) // step, (window.col_off + left) // step
        overview[first[0] : first[0] + len(part), first[1] : first[1] + part.shape[1]] = part
        here, r, c = _within(window, row, column)
        if len(here):
            found = positions[r, c]
            mapped[here] = np.where(found == NOWHERE, UNKNOWN, found)
            hectares[here] = areas[r, c]
            presence[:, here] = classified.presence(window)[:, r, c]
        if progress is not None:
            progress(i, len(walk))
    return Seen(totals, row, column, mapped, presence, hectares, overview, step)


def pixels_at(
    classified: ClassifiedMap, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of the pixels in which coordinates lie; -1 for NaN."""
    columns, rows = ~classified.transform @ (x, y)
    place = np.nan_to_num(np.stack([rows, columns]), nan=-1.0, posinf=-1.0, neginf=-1.0)
    row, column = np.floor(place).astype(np.intp)
    return row, column


def classes_at(
    classified: ClassifiedMap, row: NDArray[np.intp], column: NDArray[np.intp]
) -> list[str]:
    """The map's class at each of some pixels, "" for no data; windows with none are not read."""
    names = [*classified.names, ""]
    found = np.full(len(row), NOWHERE, np.int32)
    for window in classified.windows():
        here, r, c = _within(window, row, column)
        if len(here):
            found[here] = classified.positions(window)[r, c]
    return [names[k] for k in found]


def _within(
    window: Window, row: NDArray[np.intp], column: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Which pixels lie in a window, and their rows and columns in it."""
    r, c = row - window.row_off, column - window.col_off
    here = np.flatnonzero((r >= 0) & (r < window.height) & (c >= 0) & (c < window.width))
    return here, r[here], c[here]
