"""One grid for many maps.

Where all maps share a CRS, a cell size and the phase of their cells, and nothing else is asked
for, the mosaic takes theirs and cells are copied. Otherwise its cells lie at multiples of the cell
size from the origin of its CRS, so that mosaics made apart fit together, and maps are resampled.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from geolulc.errors import ParameterError
from geolulc.grid import Extent, Grid
from geolulc.mosaics.options import MosaicOptions
from geolulc.mosaics.sources import MapSource

#: The CRS of the European grid (INSPIRE, equal area).
EUROPE: Final = "EPSG:3035"
#: Most cells of a mosaic; of pixels, which are held in bytes, 400 tiles at 10 m.
_MOST_CELLS: Final = 4 * 10**9
_MOST_PIXELS: Final = 40 * 10**9
#: Points along a side of a rectangle that is projected.
DENSIFY: Final = 21

#: Metres within which a place that is projected there and back is the same.
_SAME_PLACE: Final = 1.0
#: Neighbouring points of a map that lie so many times further apart than most have a cut between.
_TORN: Final = 5.0

#: Projected (left, bottom, right, top).
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class MosaicGrid:
    """The cells of a mosaic; ``copied`` where those of the maps are theirs."""

    cells: Grid
    copied: bool


def choose_grid(sources: Sequence[MapSource], options: MosaicOptions) -> MosaicGrid:
    """The grid that holds all of ``sources``.

    Raises:
        ParameterError: CRSs differ outside Europe, cell sizes differ, or the CRS asked for is
            not projected in metres.
    """
    systems = {s.header.grid.extent.crs for s in sources}
    crs = _choose_crs(sources, systems) if options.crs is None else _projected(options.crs)
    size = _choose_size(sources) if options.cell_size is None else options.cell_size
    extents = [s.header.grid.extent for s in sources]
    sizes = {s.header.grid.cell for s in sources}
    phases = {(extent.left % size, extent.top % size) for extent in extents}
    copied = systems == {crs} and sizes == {size} and len(phases) == 1
    if copied:
        cells = _around(crs, [extent.bounds for extent in extents], size)
    else:
        boxes = [_projected_extent(s, crs) for s in sources]
        cells = _around(crs, [_widened(box, size) for box in boxes], size)
    _require_possible(cells, sources[0])
    return MosaicGrid(cells, copied)


def projected_bounds(source: str, target: str, bounds: Bounds) -> Bounds:
    """The box in the CRS ``target`` around a box in the CRS ``source``."""
    if source == target:
        return bounds
    left, bottom, right, top = _transformer(source, target).transform_bounds(
        *bounds, densify_pts=DENSIFY
    )
    return left, bottom, right, top


def whole_bounds(grid: Grid) -> Bounds:
    """The box around all cells, those parts included that lie beyond the grid's extent."""
    rows, columns = grid.shape
    left, top = grid.extent.left, grid.extent.top
    return left, top - rows * grid.cell, left + columns * grid.cell, top


def _projected_extent(source: MapSource, crs: str) -> Bounds:
    """The map's box in ``crs``; ``ParameterError`` where that CRS has no one place for it."""
    extent = source.header.grid.extent
    fault = _fault(extent, crs)
    if fault is not None:
        raise ParameterError(
            f"CRS {crs}",
            found=f"{fault} {source.path.name} ({extent.crs})",
            expected="one that has each map in one piece",
            remedy="Choose one of their region with --crs.",
        )
    return projected_bounds(extent.crs, crs, extent.bounds)


def _fault(extent: Extent, crs: str) -> str | None:
    """What keeps ground from having one place in ``crs``, and places near each other; or None.

    A CRS of the world is cut somewhere, mostly at the 180th meridian; a transverse Mercator
    projection has no values, or those of other ground, a quarter of the globe from its meridian.
    """
    left, bottom, right, top = extent.bounds
    x, y = np.meshgrid(np.linspace(left, right, DENSIFY), np.linspace(bottom, top, DENSIFY))
    try:
        projected = np.stack(_transformer(extent.crs, crs).transform(x, y))
        back = np.stack(_transformer(crs, extent.crs).transform(*projected))
    except ProjError:
        return "no place in it for"
    if not np.isfinite(projected).all():
        return "no place in it for"
    if not np.abs(back - np.stack([x, y])).max() < _SAME_PLACE:  # NaN too
        return "the place of other ground for"
    for axis in (1, 2):
        steps = np.hypot(*np.diff(projected, axis=axis))
        if steps.max() > _TORN * np.median(steps):
            return "a cut through"
    return None


@functools.lru_cache(maxsize=2)  # all maps that reach a block ask
def beyond_world(block: Grid) -> NDArray[np.bool_] | None:
    """Cells of ``block`` where its CRS has no ground of their own: bool (rows, columns), or None.

    Beyond the edge of a map of the world positions lead to ground that lies at the other edge.
    """
    crs = CRS.from_user_input(block.extent.crs)
    if crs.geodetic_crs is None:
        return None
    x, y = ((edges[:-1] + edges[1:]) / 2 for edges in block.edges())
    ends = (
        np.unique(np.linspace(0, len(x) - 1, 5, dtype=int)),
        np.unique(np.linspace(0, len(y) - 1, 5, dtype=int)),
    )
    geodetic = crs.geodetic_crs.to_wkt()
    if not _is_beyond(block.extent.crs, geodetic, x[ends[0]], y[ends[1]]).any():
        return None
    return _is_beyond(block.extent.crs, geodetic, x, y)


def _is_beyond(
    crs: str, geodetic: str, x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    here = np.stack(np.meshgrid(x, y))
    there = _transformer(geodetic, crs).transform(*_transformer(crs, geodetic).transform(*here))
    return np.asarray(~(np.abs(np.stack(there) - here).max(axis=0) < _SAME_PLACE))


@functools.lru_cache(maxsize=256)  # one takes longer to make than a block's corners to project
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def _widened(box: Bounds, size: int) -> Bounds:
    """The smallest box around ``box`` whose sides lie at multiples of ``size``."""
    left, bottom = (math.floor(v / size) * size for v in box[:2])
    right, top = (math.ceil(v / size) * size for v in box[2:])
    return left, bottom, right, top


def _around(crs: str, boxes: Sequence[Bounds], size: int) -> Grid:
    """Cells of ``size`` metres over all ``boxes``."""
    left, bottom = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, top = max(box[2] for box in boxes), max(box[3] for box in boxes)
    extent = Extent(crs, float(left), float(top), round(right - left), round(top - bottom))
    return Grid.over(extent, size)


def _require_possible(cells: Grid, source: MapSource) -> None:
    rows, columns = cells.shape
    unit = source.header.unit.many
    most = _MOST_PIXELS if source.header.exclusive else _MOST_CELLS
    if rows * columns > most:
        raise ParameterError(
            "the mosaic",
            found=f"{rows:,} × {columns:,} {unit} of {cells.cell} m",
            expected=f"at most {most:,}",
            remedy="Give maps that lie nearer to each other, or a larger --cell-size.",
        )


def _choose_crs(sources: Sequence[MapSource], systems: set[str]) -> str:
    if len(systems) == 1:
        return next(iter(systems))
    area = CRS.from_user_input(EUROPE).area_of_use
    if area is None:
        raise ValueError(f"{EUROPE} has no area of use")
    for source in sources:
        extent = source.header.grid.extent
        west, south, east, north = projected_bounds(extent.crs, "EPSG:4326", extent.bounds)
        across = area.west <= west <= east <= area.east
        if not across or not area.south <= south <= north <= area.north:
            raise ParameterError(
                "the maps",
                found=f"{len(systems)} CRSs ({', '.join(sorted(systems)[:4])}), and "
                f"{source.path.name} outside Europe",
                expected=f"one CRS, or maps inside Europe, for {EUROPE}",
                remedy="Choose the mosaic's with --crs: a projected one in metres.",
            )
    return EUROPE


def _choose_size(sources: Sequence[MapSource]) -> int:
    sizes = sorted({s.header.grid.cell for s in sources})
    if len(sizes) > 1:
        raise ParameterError(
            "the maps",
            found=f"{sources[0].header.unit.many} of {', '.join(map(str, sizes))} m",
            expected="one size",
            remedy="Choose the mosaic's with --cell-size.",
        )
    return sizes[0]


def _projected(name: str) -> str:
    """The authority code of a CRS in metres; ``ParameterError`` of any other."""
    try:
        crs = CRS.from_user_input(name)
    except CRSError:
        crs = None
    authority = crs.to_authority() if crs is not None else None
    in_metres = crs is not None and all(axis.unit_name == "metre" for axis in crs.axis_info)
    if crs is None or authority is None or not crs.is_projected or not in_metres:
        raise ParameterError(
            f"CRS {name!r}",
            found="no CRS" if crs is None else f"{crs.name}",
            expected="a projected CRS in metres with a code, as EPSG:3035 or EPSG:32629",
            remedy="Give one of these.",
        )
    return ":".join(authority)
