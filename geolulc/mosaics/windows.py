"""What maps say of the cells of a mosaic: copied where grids agree, resampled otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geolulc.grid import Grid
from geolulc.maps.encoding import FULL
from geolulc.maps.header import MapHeader
from geolulc.mosaics.grids import beyond_world, projected_bounds, whole_bounds
from geolulc.mosaics.observations import MapReader, Observation
from geolulc.mosaics.sources import MapSource
from geolulc.mosaics.warping import warped

#: In resampling, what a cell whose patch is off its centre weighs beside one that is centred.
_ASIDE: Final = 1e-9
#: A smaller share of a cell's weight from moved patches is rounding.
_TRACE: Final = 1e-3
#: The warper's kernel reaches this many cells of the coarser grid beyond a block.
_MARGIN: Final = 3

#: Layers of a map's cells → the layers of a block's.
_Warp = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class MapWindows:
    """Reads maps block by block of a mosaic. Use as a context: it holds files open."""

    def __init__(self, header: MapHeader, *, copied: bool) -> None:
        """``header``: of the mosaic; ``copied``: its cells are those of the maps."""
        self._exclusive, self._copied = header.exclusive, copied
        self._reader = MapReader(header.classes, exclusive=header.exclusive)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.__exit__()

    def observe(self, source: MapSource, block: Grid) -> Observation | None:
        """``source`` in the cells of ``block``; None where it says nothing of them.

        Raises:
            OutputError: the map is damaged.
        """
        grid = source.header.grid
        window = copied_from(grid, block) if self._copied else resampled_from(grid, block)
        seen = self._read(source, window)
        if seen is None or self._copied:
            return seen

        def warp(layers: NDArray[np.float32]) -> NDArray[np.float32]:
            return warped(layers, grid, window.row_off, window.col_off, block)

        if self._exclusive:
            resampled = _resample_pixels(seen, warp)
        else:
            resampled = _resample_cells(seen, warp, grid.cell)
        if (beyond := beyond_world(block)) is not None:
            resampled.weight[beyond] = 0
        return resampled if resampled.weight.any() else None

    def _read(self, source: MapSource, window: Window) -> Observation | None:
        """The cells of a window that may reach beyond the map."""
        rows, columns = source.header.grid.shape
        first, start = window.row_off, window.col_off
        last, end = first + window.height, start + window.width
        r0, r1, c0, c1 = max(first, 0), min(last, rows), max(start, 0), min(end, columns)
        if r0 >= r1 or c0 >= c1:
            return None
        seen = self._reader.read(source, Window(c0, r0, c1 - c0, r1 - r0))
        if not seen.weight.any():
            return None
        return seen.padded((r0 - first, last - r1), (c0 - start, end - c1))


def _resample_cells(seen: Observation, warp: _Warp, cell: int) -> Observation:
    """By GDAL's warper: bilinear, or the average of the cells inside a coarser one.

    A probability speaks of a patch centred on its cell: between centres it is interpolated. What
    is warped is weight × probability and weight, so that cells without data count nothing and
    cloudy ones little; their quotient is the probability. A cell is observed where half of the
    kernel's weight, or more, lies on mapped cells.

    Args:
        seen: the map's own cells.
        warp: the resampling.
        cell: side of the map's cells in metres.
    """
    if seen.offset is None or seen.valid is None or seen.clear is None:
        raise ValueError("an observation of cells has offsets and shares")
    known = np.isfinite(seen.p[0])
    weight, offset = seen.weight, seen.offset
    share = weight * np.where(offset == 0, np.float32(1), np.float32(_ASIDE))
    shares = [np.where(known, layer, np.float32(0)) for layer in (seen.valid, seen.clear)]
    layers = np.stack(
        [known.astype(np.float32), weight, share, weight * (offset > 0), weight * offset, *shares]
    )
    p = np.where(known & (share > 0), seen.p, np.float32(0)) * share
    found = warp(np.concatenate([layers, p]))
    mapped, weight, share, moved, moved_by = found[:5]
    observed = (mapped >= 0.5) & (share > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(observed, found[len(layers) :] / share, np.float32(np.nan))
        valid, clear = (np.where(observed, layer / mapped, np.nan) for layer in found[5:7])
        offset = np.where(moved > _TRACE * weight, moved_by / moved, np.float32(0))
        offset = np.where(observed, offset + (1 - mapped.clip(0, 1)) * cell, np.float32(0))
        weight = np.where(observed, weight / mapped, np.float32(0))
    return Observation(
        p.clip(0, 1),
        weight.clip(0, 1),
        offset,
        valid.clip(0, 1).astype(np.float32),
        clear.clip(0, 1).astype(np.float32),
    )


def _resample_pixels(seen: Observation, warp: _Warp) -> Observation:
    """By GDAL's warper, as cells: bilinear, or the average of the pixels inside a coarser one.

    What is warped is the share of the kernel on mapped pixels, and that times probability and
    times weight: pixels without data count nothing. A pixel is observed where half of the kernel
    or more lies on mapped ones.
    """
    layers = np.empty((2 + len(seen.p), *seen.weight.shape), np.float32)
    layers[0] = seen.weight > 0
    layers[1] = seen.weight
    np.multiply(seen.p, layers[0], out=layers[2:])
    found = warp(layers)
    mapped = found[0]
    observed = mapped >= 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        found[1:] /= mapped
    weight = np.where(observed, found[1], np.float32(0)).clip(0, 1)
    return Observation(np.where(observed, found[2:], np.float32(0)).clip(0, FULL), weight)


def copied_from(grid: Grid, block: Grid) -> Window:
    """The cells of ``grid`` that are those of ``block``, where both agree; some may lie outside."""
    rows, columns = block.shape
    row = round((grid.extent.top - block.extent.top) / block.cell)
    column = round((block.extent.left - grid.extent.left) / block.cell)
    return Window(column, row, columns, rows)


def resampled_from(grid: Grid, block: Grid) -> Window:
    """The cells of ``grid`` that those of ``block`` are made of.

    It reaches beyond the map as far as the warper's kernel does.
    """
    bounds = projected_bounds(block.extent.crs, grid.extent.crs, whole_bounds(block))
    size, (rows, columns) = grid.cell, grid.shape
    margin = _MARGIN * max(1, math.ceil(block.cell / size))
    first, last, start, end = -margin, rows + margin, -margin, columns + margin
    # far from its zone a projection stretches without limit, or has no values: the whole map then
    if all(map(math.isfinite, bounds)):
        west, south, east, north = bounds
        left, top = grid.extent.left, grid.extent.top
        first = max(math.floor((top - north) / size) - margin, first)
        last = min(math.ceil((top - south) / size) + margin, last)
        start = max(math.floor((west - left) / size) - margin, start)
        end = min(math.ceil((east - left) / size) + margin, end)
    return Window(start, first, max(end - start, 0), max(last - first, 0))
