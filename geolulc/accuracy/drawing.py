"""Points drawn at random from a map of any size: it is walked twice, window by window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.windows import Window

from geolulc.accuracy.classified import NOWHERE, ClassifiedMap, Layer, Totals, WholeMap
from geolulc.errors import ParameterError
from geolulc.progress import Progress

#: Pixels drawn for each point that is wanted, where points must keep a distance.
_CANDIDATES: Final = 20


@dataclass(frozen=True)
class Frame:
    """What there is to draw from.

    Attributes:
        names: of the strata.
        totals: pixels and hectares of each.
        by_window: int64 (window, stratum): pixels.
        windows: the walk over the map.
    """

    names: tuple[str, ...]
    totals: Totals
    by_window: NDArray[np.int64]
    windows: tuple[Window, ...]

    @property
    def whole(self) -> Frame:
        """All strata as one, of a ``WholeMap``."""
        pixels, hectares = self.totals.pixels, self.totals.hectares
        totals = Totals(pixels.sum(keepdims=True), hectares.sum(keepdims=True))
        return Frame(
            WholeMap.names, totals, self.by_window.sum(axis=1, keepdims=True), self.windows
        )


@dataclass(frozen=True)
class Drawn:
    """Pixels that were drawn.

    Attributes:
        row, column: intp (point,).
        stratum: intp (point,).
        probability: float64 (point,): with which each pixel was drawn.
        cluster: intp (point,); None where there are none.
    """

    row: NDArray[np.intp]
    column: NDArray[np.intp]
    stratum: NDArray[np.intp]
    probability: NDArray[np.float64]
    cluster: NDArray[np.intp] | None = None


def frame_of(classified: ClassifiedMap, layer: Layer, progress: Progress | None = None) -> Frame:
    """Count the pixels of each stratum.

    Raises:
        ParameterError: no pixel of the map is in a stratum.
    """
    walk, count = tuple(classified.windows()), len(layer.names)
    totals = Totals(np.zeros(count, np.int64), np.zeros(count))
    by_window = np.zeros((len(walk), count), np.int64)
    for i, window in enumerate(walk):
        found = Totals.of(layer.positions(window), classified.hectares(window), count)
        totals += found
        by_window[i] = found.pixels
        if progress is not None:
            progress(i + 1, len(walk))
    if not totals.pixels.any():
        raise ParameterError(
            classified.path,
            found="no pixel with data in any stratum",
            expected="strata on the map",
            remedy="Check the map, and where the strata lie.",
        )
    return Frame(layer.names, totals, by_window, walk)


def draw_stratified(
    classified: ClassifiedMap,
    layer: Layer,
    frame: Frame,
    points: NDArray[np.intp],
    rng: np.random.Generator,
    distance: float = 0.0,
) -> Drawn:
    """So many pixels of each stratum, without replacement, each with the same probability.

    Args:
        classified: the map.
        layer: its strata.
        frame: what ``frame_of`` counted.
        points: intp (stratum,).
        rng: randomness.
        distance: metres between any two points. Of pixels in random order those stay that keep
            it, so probabilities within a stratum differ a little.

    Raises:
        ParameterError: there is no room for so many points with the distance between them.
    """
    more = _CANDIDATES if distance else 1
    ranks = [
        rng.choice(int(n), min(int(n), int(k) * more), replace=False)
        for n, k in zip(frame.totals.pixels, points, strict=True)
    ]
    stratum = np.repeat(np.arange(len(points)), [len(r) for r in ranks])
    row, column = _located(layer, frame, stratum, np.concatenate(ranks))
    if distance:
        kept = _apart(classified, row, column, stratum, points, distance, frame.names)
        row, column, stratum = row[kept], column[kept], stratum[kept]
    probability = points / np.maximum(frame.totals.pixels, 1)
    return Drawn(row, column, stratum, probability[stratum])


def draw_systematic(layer: Layer, frame: Frame, size: int, rng: np.random.Generator) -> Drawn:
    """Pixels on a square grid with a random start, some ``size`` of them, of the only stratum."""
    step = max(1, int(np.sqrt(frame.totals.pixels[0] / size)))
    start = rng.integers(0, step, 2)
    found = []
    for window, count in zip(frame.windows, frame.by_window[:, 0], strict=True):
        top, left = (start[0] - window.row_off) % step, (start[1] - window.col_off) % step
        if count:
            rows, columns = np.nonzero(layer.positions(window)[top::step, left::step] != NOWHERE)
            place = window.row_off + top, window.col_off + left
            found.append((place[0] + rows * step, place[1] + columns * step))
    row, column = (np.concatenate(part) for part in zip(*found, strict=True))
    return Drawn(
        row, column, np.zeros(len(row), np.intp), np.full(len(row), 1 / step**2, np.float64)
    )


def draw_clusters(
    classified: ClassifiedMap,
    layer: Layer,
    frame: Frame,
    size: int,
    points: int,
    side: float,
    rng: np.random.Generator,
) -> Drawn:
    """Square clusters, each with the same probability, and so many pixels with data in each.

    Args:
        classified: the map.
        layer: its only stratum.
        frame: what ``frame_of`` counted.
        size: points in all.
        points: in a cluster; all pixels of one that has fewer.
        side: metres along a cluster.
        rng: randomness.

    Raises:
        ParameterError: the map has fewer than two clusters.
    """
    pixels = max(1, round(side / classified.pixel_metres))
    held = _cluster_sizes(classified, layer, frame, pixels)
    filled = np.flatnonzero(held)
    if len(filled) < 2:
        raise ParameterError(
            "clusters",
            found=f"{len(filled)} of {side:g} m on the map",
            expected="two or more",
            remedy="Give a smaller --cluster-side.",
        )
    clusters = rng.choice(filled, min(len(filled), max(2, -(-size // points))), replace=False)
    rows, columns, which, probability = [], [], [], []
    for number, place in enumerate(clusters):
        block_row, block_column = divmod(int(place), held.shape[1])
        top, left = block_row * pixels, block_column * pixels
        high, wide = classified.shape
        window = Window(left, top, min(pixels, wide - left), min(pixels, high - top))
        inside = np.flatnonzero(layer.positions(window).ravel() != NOWHERE)
        chosen = rng.choice(inside, min(points, len(inside)), replace=False)
        rows.append(top + chosen // window.width)
        columns.append(left + chosen % window.width)
        which.append(np.full(len(chosen), number))
        share = len(clusters) / len(filled) * len(chosen) / len(inside)
        probability.append(np.full(len(chosen), share))
    row, column, cluster = (np.concatenate(p).astype(np.intp) for p in (rows, columns, which))
    return Drawn(row, column, np.zeros_like(row), np.concatenate(probability), cluster)


def _cluster_sizes(
    classified: ClassifiedMap, layer: Layer, frame: Frame, pixels: int
) -> NDArray[np.int64]:
    """int64 (rows, columns) of clusters: pixels with data in each."""
    high, wide = classified.shape
    held = np.zeros((-(-high // pixels), -(-wide // pixels)), np.int64)
    for window, count in zip(frame.windows, frame.by_window[:, 0], strict=True):
        if not count:
            continue
        known = (layer.positions(window) != NOWHERE).astype(np.int64)
        for axis, first in ((0, window.row_off), (1, window.col_off)):
            stops = first + np.arange(known.shape[axis])
            edges = np.flatnonzero((stops % pixels == 0) | (stops == first))
            known = np.add.reduceat(known, edges, axis=axis)
        top, left = window.row_off // pixels, window.col_off // pixels
        held[top : top + known.shape[0], left : left + known.shape[1]] += known
    return held


def _located(
    layer: Layer, frame: Frame, stratum: NDArray[np.intp], rank: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of the pixels of given ranks within their strata, in the order of the walk."""
    before = np.cumsum(frame.by_window, axis=0) - frame.by_window
    row, column = np.empty(len(rank), np.intp), np.empty(len(rank), np.intp)
    where = np.empty(len(rank), np.intp)
    for h in np.unique(stratum):
        here = stratum == h
        where[here] = np.searchsorted(before[:, h] + frame.by_window[:, h], rank[here], "right")
    for i in np.unique(where):
        window, positions = frame.windows[i], layer.positions(frame.windows[i]).ravel()
        inside = where == i
        for h in np.unique(stratum[inside]):
            mine = np.flatnonzero(inside & (stratum == h))
            places = np.flatnonzero(positions == h)[rank[mine] - before[i, h]]
            row[mine] = window.row_off + places // window.width
            column[mine] = window.col_off + places % window.width
    return row, column


def _apart(
    classified: ClassifiedMap,
    row: NDArray[np.intp],
    column: NDArray[np.intp],
    stratum: NDArray[np.intp],
    points: NDArray[np.intp],
    distance: float,
    names: tuple[str, ...],
) -> NDArray[np.intp]:
    """Candidates that keep the distance to all before them; the smallest strata go first."""
    place = _geocentric(classified, row, column)
    kept: list[int] = []
    for h in np.argsort(points, kind="stable"):
        found = 0
        for i in np.flatnonzero(stratum == h):
            if found == points[h]:
                break
            if not kept or ((place[kept] - place[i]) ** 2).sum(axis=1).min() >= distance**2:
                kept.append(int(i))
                found += 1
        if found < points[h]:
            raise ParameterError(
                f"stratum {names[h]}",
                found=f"room for {found} of {points[h]} points with {distance:g} m between them",
                expected="room for all",
                remedy="Give a smaller --distance, or fewer points.",
            )
    return np.array(kept, np.intp)


def _geocentric(
    classified: ClassifiedMap, row: NDArray[np.intp], column: NDArray[np.intp]
) -> NDArray[np.float64]:
    """float64 (point, 3): metres from the earth's centre, so that distances are those on it."""
    x, y = classified.transform @ (column + 0.5, row + 0.5)
    to_earth = Transformer.from_crs(classified.crs, CRS.from_epsg(4978), always_xy=True)
    height = np.zeros(len(row))
    return np.stack(to_earth.transform(x, y, height), axis=1)
