"""Grids in metres: the tile, and the cells of a map over it. No I/O, no pixels.

A BigEarthNet patch is 1,200 m (120/60/20 pixels of 10/20/60 m). Patches start on the tile's
60 m grid, so the windows of a patch in the three resolutions cover exactly the same ground.

**The map's grid.** Cells are ``stride`` × ``stride`` squares from the tile's upper-left corner
until the tile is covered; the last row and column may reach beyond the tile. A cell's patch is
the 1,200 m window centred on the cell, moved inside the tile where it would stick out. Nothing
is dropped and nothing is invented: a full tile (109,800 m) has 92 × 92 cells at 1,200 m.

``stride`` is any multiple of 60 m up to the patch. At odd multiples (300 m, say) the centred
patch would start in the middle of a 60 m pixel: it starts at that pixel's upper-left corner
instead, so its centre lies 30 m to the left of and above the cell's, alike for all cells. At
multiples of 120 m the centres coincide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from affine import Affine

from geolulc.bands import RESOLUTIONS
from geolulc.errors import ParameterError, ProductError

#: Edge of a BigEarthNet patch in metres (Sumbul et al. 2019).
PATCH_SIZE: Final = 1200
#: Patches start at multiples of this many metres from the tile's corner: the coarsest pixel.
ALIGNMENT: Final = RESOLUTIONS[-1]
#: Metres a side of cells inside patches, on which a patch model's evidence is mapped: what the
#: stages of a trunk with strides of 32, 16 and 8 pixels of 10 m give.
LOCATED_CELLS: Final = (320, 160, 80)


@dataclass(frozen=True, slots=True)
class Extent:
    """A rectangle of ground.

    ``crs`` is an authority code ("EPSG:32632"); ``left`` and ``top`` are the projected
    coordinates of the upper-left corner, ``width`` and ``height`` its extent, all in metres.
    """

    crs: str
    left: float
    top: float
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class TileGrid(Extent):
    """The ground a product covers."""

    def __post_init__(self) -> None:
        if self.width < PATCH_SIZE or self.height < PATCH_SIZE:
            raise ProductError(
                "tile",
                found=f"an extent of {self.width} m × {self.height} m",
                expected=f"at least one patch of {PATCH_SIZE} m × {PATCH_SIZE} m",
                remedy="Use a larger scene.",
            )
        if self.width % ALIGNMENT or self.height % ALIGNMENT:
            raise ProductError(
                "tile",
                found=f"an extent of {self.width} m × {self.height} m",
                expected=f"multiples of {ALIGNMENT} m, so that the resolutions share corners",
                remedy="Use an unmodified Sentinel-2 L2A product.",
            )

    def shape(self, resolution: int) -> tuple[int, int]:
        """(rows, columns) of the tile in pixels of ``resolution`` metres."""
        return self.height // resolution, self.width // resolution

    def transform(self, resolution: int) -> Affine:
        """Pixel (column, row) → projected (x, y) of the pixel's upper-left corner."""
        return Affine(resolution, 0.0, self.left, 0.0, -resolution, self.top)


@dataclass(frozen=True, slots=True)
class CellGrid:
    """Cells over ``tile``: squares of ``stride`` metres from its upper-left corner.

    The last row and column may reach beyond the tile. ``patch_size`` is the side in metres of
    what a network saw of a cell.
    """

    tile: Extent
    stride: int = PATCH_SIZE
    patch_size: int = PATCH_SIZE

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of cells."""
        return -(-self.tile.height // self.stride), -(-self.tile.width // self.stride)

    @property
    def transform(self) -> Affine:
        """Cell (column, row) → projected (x, y) of the cell's upper-left corner."""
        return Affine(self.stride, 0.0, self.tile.left, 0.0, -self.stride, self.tile.top)

    def bounds(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Projected (left, bottom, right, top) of a cell, cut to the tile: ground it stands for."""
        tile = self.tile
        left = tile.left + column * self.stride
        top = tile.top - row * self.stride
        right = min(left + self.stride, tile.left + tile.width)
        bottom = max(top - self.stride, tile.top - tile.height)
        return left, bottom, right, top


@dataclass(frozen=True, slots=True)
class MapGrid(CellGrid):
    """The cells of a map of one product: one patch a cell, all inside the tile."""

    tile: TileGrid

    def __post_init__(self) -> None:
        if self.patch_size <= 0 or self.patch_size % ALIGNMENT:
            raise ParameterError(
                "patch size",
                found=f"{self.patch_size} m",
                expected=f"a multiple of {ALIGNMENT} m",
                remedy=f"BigEarthNet models use {PATCH_SIZE}.",
            )
        if self.stride % ALIGNMENT or not 0 < self.stride <= self.patch_size:
            raise ParameterError(
                "stride",
                found=f"{self.stride} m",
                expected=f"a multiple of {ALIGNMENT} m, up to {self.patch_size}",
                remedy=f"Use {PATCH_SIZE}, {PATCH_SIZE // 2} or {PATCH_SIZE // 4}, say.",
            )
        if min(self.tile.width, self.tile.height) < self.patch_size:
            raise ProductError(
                "tile",
                found=f"an extent of {self.tile.width} m × {self.tile.height} m",
                expected=f"at least one patch of {self.patch_size} m",
                remedy="Use a larger scene or a model with a smaller patch.",
            )

    @property
    def patch_lead(self) -> int:
        """Metres that patches start above and to the left of their cells, inside the tile."""
        return -((self.stride - self.patch_size) // (2 * ALIGNMENT)) * ALIGNMENT

    def patch_top(self, row: int) -> int:
        """Metres from the tile's top to the patch of cells in ``row``; a multiple of 60."""
        return self._start(row, self.shape[0], self.tile.height)

    def patch_left(self, column: int) -> int:
        """Metres from the tile's left to the patch of cells in ``column``; a multiple of 60."""
        return self._start(column, self.shape[1], self.tile.width)

    def _start(self, index: int, count: int, extent: int) -> int:
        if not 0 <= index < count:
            raise IndexError(f"cell {index} of {count}")
        return min(max(index * self.stride - self.patch_lead, 0), extent - self.patch_size)

    def window(self, row: int, column: int, resolution: int) -> tuple[slice, slice]:
        """(rows, columns) in pixels of ``resolution`` metres of the cell's patch."""
        top = self.patch_top(row) // resolution
        left = self.patch_left(column) // resolution
        size = self.patch_size // resolution
        return slice(top, top + size), slice(left, left + size)
