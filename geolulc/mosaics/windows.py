"""What one map says of the cells of a block: copied where grids agree, resampled otherwise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geolulc.grid import CellGrid, MapGrid
from geolulc.mosaics.grids import projected_bounds
from geolulc.mosaics.open_rasters import OpenRasters, damaged
from geolulc.mosaics.sources import MapSource
from geolulc.mosaics.warping import warped
from geolulc.outputs.uncertainty import CLEAR_BAND, VALID_BAND

#: In resampling, what a cell whose patch is off its centre weighs beside one that is centred.
_ASIDE: Final = 1e-9
#: A probability of 1 in steps of 0.004 or 0.0001 can pass it by rounding.
_MOST: Final = 1.0001
#: A smaller share of a cell's weight from moved patches is rounding.
_TRACE: Final = 1e-3
#: The warper's kernel reaches this many cells of the coarser grid beyond a block.
_MARGIN: Final = 3


@dataclass(frozen=True)
class Observation:
    """One map in the cells of a block.

    Attributes:
        p: float32 (class, rows, columns), in the order asked for; NaN where not observed.
        weight: float32 (rows, columns): valid × clear share; 0 where not observed.
        offset: float32: metres, along x and y together, from the cell's centre to its patch's: at
            a tile's edge patches are moved inside. In resampling, cells to which a moved patch or
            missing ground contributes are off as well.
        valid: float32: valid share; NaN where not observed or not known.
        clear: float32: the same of the clear share.
    """

    p: NDArray[np.float32]
    weight: NDArray[np.float32]
    offset: NDArray[np.float32]
    valid: NDArray[np.float32]
    clear: NDArray[np.float32]


class MapWindows:
    """Reads maps by windows. Use as a context: it holds datasets open."""

    def __init__(self, classes: tuple[str, ...], *, copied: bool) -> None:
        """``classes``: the order of the probabilities; ``copied``: the grids agree."""
        self._classes, self._copied = classes, copied
        self._rasters = OpenRasters()

    def __enter__(self) -> MapWindows:
        return self

    def __exit__(self, *_: object) -> None:
        self._rasters.__exit__()

    def observe(self, source: MapSource, block: CellGrid) -> Observation | None:
        """``source`` in the cells of ``block``; None where it does not reach it.

        Raises:
            OutputError: the map is damaged.
        """
        if self._copied:
            return self._copy(source, block)
        return self._resample(source, block)

    def _copy(self, source: MapSource, block: CellGrid) -> Observation | None:
        there = self._read(source, *copied_from(source.grid, block))
        if there is None:
            return None
        seen = there.mapped
        return Observation(
            np.where(seen, there.p, np.float32(np.nan)),
            np.where(seen, there.weight, np.float32(0)),
            there.offset,
            np.where(seen, there.valid, np.float32(np.nan)),
            np.where(seen, there.clear, np.float32(np.nan)),
        )

    def _resample(self, source: MapSource, block: CellGrid) -> Observation | None:
        """By GDAL's warper: bilinear, or the average of the cells inside a coarser one.

        A probability speaks of a patch centred on its cell: between centres it is interpolated.
        What is warped is weight × probability and weight, so that cells without data count
        nothing and cloudy ones little; their quotient is the probability. A cell is observed
        where half of the kernel's weight, or more, lies on mapped cells.
        """
        grid = source.grid
        first, last, start, end = resampled_from(grid, block)
        there = self._read(source, first, last, start, end)
        if there is None or not there.mapped.any():
            return None
        mapped = there.mapped.astype(np.float32)
        weight = np.where(there.mapped, there.weight, np.float32(0))
        moved = weight * (there.offset > 0)
        share = weight * np.where(there.offset == 0, np.float32(1), np.float32(_ASIDE))
        known = [np.where(there.mapped, layer, np.float32(0)) for layer in there.shares]
        layers = np.stack([mapped, weight, share, moved, weight * there.offset, *known])
        p = np.where(there.mapped & (share > 0), there.p, np.float32(0)) * share
        found = warped(np.concatenate([layers, p]), grid, start, first, block)
        mapped, weight, share = found[:3]
        seen = (mapped >= 0.5) & (share > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.where(seen, found[len(layers) :] / share, np.float32(np.nan))
            valid, clear = (np.where(seen, layer / mapped, np.nan) for layer in found[5:7])
            offset = np.where(found[3] > _TRACE * weight, found[4] / found[3], np.float32(0))
            offset = np.where(seen, offset + (1 - mapped.clip(0, 1)) * grid.stride, np.float32(0))
            weight = np.where(seen, weight / mapped, np.float32(0))
        return Observation(
            p.clip(0, 1),
            weight.clip(0, 1),
            offset,
            valid.clip(0, 1).astype(np.float32),
            clear.clip(0, 1).astype(np.float32),
        )

    def _read(
        self, source: MapSource, first: int, last: int, start: int, end: int
    ) -> _Cells | None:
        """Rows ``first`` to ``last`` and columns ``start`` to ``end``; some may lie outside."""
        rows, columns = source.grid.shape
        r0, r1, c0, c1 = max(first, 0), min(last, rows), max(start, 0), min(end, columns)
        if r0 >= r1 or c0 >= c1:
            return None
        window = Window.from_slices((r0, r1), (c0, c1))
        shape = (last - first, end - start)
        inside = np.s_[r0 - first : r1 - first, c0 - start : c1 - start]
        p = np.full((len(self._classes), *shape), np.nan, np.float32)
        p[(slice(None), *inside)] = self._probabilities(source, window)
        valid, clear = (np.full(shape, np.nan, np.float32) for _ in range(2))
        if source.quality is not None:
            shares = self._shares(source, source.quality, window)
            valid[inside] = shares.get(VALID_BAND, np.nan)
            clear[inside] = shares.get(CLEAR_BAND, np.nan)
        offset = np.zeros(shape, np.float32)
        offset[inside] = np.add.outer(
            patch_offsets(source.grid, 0)[r0:r1], patch_offsets(source.grid, 1)[c0:c1]
        )
        return _Cells(p, np.asarray(np.isfinite(p).all(axis=0)), offset, valid, clear)

    def _probabilities(self, source: MapSource, window: Window) -> NDArray[np.float32]:
        dataset = self._rasters.dataset(source.path)
        bands = [dataset.descriptions.index(name) + 1 for name in self._classes]
        try:
            values = dataset.read(bands, window=window)
        except RasterioError as error:
            raise damaged(source.path, error) from error
        nodata = ~np.isfinite(values) if values.dtype.kind == "f" else values == dataset.nodata
        scale = np.array(dataset.scales)[np.array(bands) - 1, None, None]
        p = np.where(nodata.any(axis=0), np.nan, values * scale).astype(np.float32)
        # not all damage keeps a block from being unpacked
        if np.nanmin(p, initial=0) < 0 or np.nanmax(p, initial=0) > _MOST:
            raise damaged(source.path, ValueError("probabilities outside 0 to 1"))
        return p

    def _shares(
        self, source: MapSource, quality: Path, window: Window
    ) -> dict[str, NDArray[np.float32]]:
        dataset = self._rasters.dataset(quality)
        known = [name for name in (VALID_BAND, CLEAR_BAND) if name in dataset.descriptions]
        bands = [dataset.descriptions.index(name) + 1 for name in known]
        try:
            values = dataset.read(bands, window=window)
        except RasterioError as error:
            raise damaged(quality, error) from error
        if np.nanmin(values, initial=0) < 0 or np.nanmax(values, initial=0) > _MOST:
            raise damaged(quality, ValueError("shares outside 0 to 1"))
        return dict(zip(known, values, strict=True))


@dataclass(frozen=True)
class _Cells:
    """Cells as the map has them; outside of it nothing is mapped."""

    p: NDArray[np.float32]
    mapped: NDArray[np.bool_]
    offset: NDArray[np.float32]
    valid: NDArray[np.float32]
    clear: NDArray[np.float32]

    @property
    def shares(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self.valid, self.clear

    @property
    def weight(self) -> NDArray[np.float32]:
        """Valid × clear share; what is not known counts as 1."""
        known = (np.where(np.isnan(share), np.float32(1), share) for share in self.shares)
        first, second = known
        return first * second


def copied_from(grid: CellGrid, block: CellGrid) -> tuple[int, int, int, int]:
    """First and last row and column of ``grid`` that are the cells of ``block``, where they agree.

    Last ones are exclusive; some may lie outside the map.
    """
    size, (rows, columns) = block.stride, block.shape
    row = round((grid.tile.top - block.tile.top) / size)
    column = round((block.tile.left - grid.tile.left) / size)
    return row, row + rows, column, column + columns


def resampled_from(grid: CellGrid, block: CellGrid) -> tuple[int, int, int, int]:
    """First and last row and column of ``grid`` that the cells of ``block`` are made of.

    Rows and columns outside the map count as well, as far as the warper's kernel reaches.
    """
    tile = block.tile
    right = tile.left + block.shape[1] * block.stride
    bottom = tile.top - block.shape[0] * block.stride
    bounds = projected_bounds(tile.crs, grid.tile.crs, (tile.left, bottom, right, tile.top))
    size, (rows, columns) = grid.stride, grid.shape
    margin = _MARGIN * max(1, math.ceil(block.stride / size))
    # far from its zone a projection stretches without limit, or has no values
    if not all(map(math.isfinite, bounds)):
        return -margin, rows + margin, -margin, columns + margin
    west, south, east, north = bounds
    return (
        max(math.floor((grid.tile.top - north) / size) - margin, -margin),
        min(math.ceil((grid.tile.top - south) / size) + margin, rows + margin),
        max(math.floor((west - grid.tile.left) / size) - margin, -margin),
        min(math.ceil((east - grid.tile.left) / size) + margin, columns + margin),
    )


def patch_offsets(grid: CellGrid, axis: int) -> NDArray[np.float32]:
    """Metres that the patches of each row (axis 0) or column of cells were moved inside the tile.

    0 where cells lie inside patches: none is moved at the tile's edge.
    """
    if not isinstance(grid, MapGrid):
        return np.zeros(grid.shape[axis], np.float32)
    start = grid.patch_left if axis else grid.patch_top
    found = [abs(start(i) - i * grid.stride + grid.patch_lead) for i in range(grid.shape[axis])]
    return np.array(found, np.float32)
