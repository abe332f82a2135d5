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

from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from geolulc.errors import ParameterError
from geolulc.grid import CellGrid, Extent
from geolulc.mosaics.options import MosaicOptions
from geolulc.mosaics.pixel_sources import PixelSource
from geolulc.mosaics.sources import MapSource

#: The CRS of the European grid (INSPIRE, equal area).
EUROPE: Final = "EPSG:3035"
_MOST_CELLS: Final = 4 * 10**9
#: Of a mosaic of pixels, which holds bytes: 400 tiles at 10 m.
_MOST_PIXELS: Final = 40 * 10**9
#: Points along a side of a rectangle that is projected.
DENSIFY: Final = 21

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class MosaicGrid:
    """The cells of a mosaic; ``copied`` where those of the maps are theirs."""

    cells: CellGrid
    copied: bool


def choose_grid(sources: Sequence[MapSource], options: MosaicOptions) -> MosaicGrid:
    """The grid that holds all of ``sources``.

    Raises:
        ParameterError: CRSs differ outside Europe, cell sizes differ, or the CRS asked for is
            not projected in metres.
    """
    systems = {s.grid.tile.crs for s in sources}
    crs = _choose_crs(sources, systems) if options.crs is None else _projected(options.crs)
    size = _choose_size(sources) if options.cell_size is None else options.cell_size
    patch = max(s.grid.patch_size for s in sources)
    most = _MOST_PIXELS if isinstance(sources[0], PixelSource) else _MOST_CELLS
    if systems == {crs} and {s.grid.stride for s in sources} == {size}:
        phases = {(s.grid.tile.left % size, s.grid.tile.top % size) for s in sources}
        if len(phases) == 1:
            extents = [_bounds(s) for s in sources]
            return MosaicGrid(_checked(_around(crs, extents, size, patch, exact=True), most), True)
    extents = [_projected_extent(s, crs) for s in sources]
    return MosaicGrid(_checked(_around(crs, extents, size, patch, exact=False), most), False)


def projected_bounds(source: str, target: str, bounds: Bounds) -> Bounds:
    """The box in ``target`` around a box in ``source``."""
    if source == target:
        return bounds
    left, bottom, right, top = _transformer(source, target).transform_bounds(
        *bounds, densify_pts=DENSIFY
    )
    return left, bottom, right, top


def _projected_extent(source: MapSource, crs: str) -> Bounds:
    """The map's box in ``crs``; ``ParameterError`` where that has no place for it."""
    try:
        found = projected_bounds(source.grid.tile.crs, crs, _bounds(source))
    except ProjError:
        found = (math.inf,) * 4
    if not all(map(math.isfinite, found)):
        raise ParameterError(
            f"CRS {crs}",
            found=f"no place in it for {source.path.name} ({source.grid.tile.crs})",
            expected="one that covers all maps",
            remedy="Choose one of their region with --crs.",
        )
    return found


@functools.lru_cache(maxsize=256)  # one takes longer to make than a block's corners to project
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def _bounds(source: MapSource) -> Bounds:
    tile = source.grid.tile
    return tile.left, tile.top - tile.height, tile.left + tile.width, tile.top


def _around(crs: str, extents: Sequence[Bounds], size: int, patch: int, *, exact: bool) -> CellGrid:
    left, right = min(e[0] for e in extents), max(e[2] for e in extents)
    bottom, top = min(e[1] for e in extents), max(e[3] for e in extents)
    if not exact:
        left, bottom = math.floor(left / size) * size, math.floor(bottom / size) * size
        right, top = math.ceil(right / size) * size, math.ceil(top / size) * size
    extent = Extent(crs, float(left), float(top), round(right - left), round(top - bottom))
    return CellGrid(extent, size, patch)


def _checked(grid: CellGrid, most: int) -> CellGrid:
    rows, columns = grid.shape
    if rows * columns > most:
        raise ParameterError(
            "the mosaic",
            found=f"{rows:,} × {columns:,} cells of {grid.stride} m",
            expected=f"at most {most:,}",
            remedy="Give maps that lie nearer to each other, or a larger --cell-size.",
        )
    return grid


def _choose_crs(sources: Sequence[MapSource], systems: set[str]) -> str:
    if len(systems) == 1:
        return next(iter(systems))
    area = CRS.from_user_input(EUROPE).area_of_use
    if area is None:
        raise ValueError(f"{EUROPE} has no area of use")
    for source in sources:
        west, south, east, north = projected_bounds(
            source.grid.tile.crs, "EPSG:4326", _bounds(source)
        )
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
    sizes = sorted({s.grid.stride for s in sources})
    if len(sizes) > 1:
        raise ParameterError(
            "the maps",
            found=f"cells of {', '.join(map(str, sizes))} m",
            expected="one size",
            remedy="Choose the mosaic's with --cell-size.",
        )
    return sizes[0]


def _projected(name: str) -> str:
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
