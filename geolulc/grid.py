"""Grids in metres: the tile, the cells of a map over it, and the patches of cells. No I/O.

A BigEarthNet patch is 1,200 m (120/60/20 pixels of 10/20/60 m). Patches start on the tile's
60 m grid, so the windows of a patch in the three resolutions cover exactly the same ground.

**The map's grid.** Cells are squares from the upper-left corner of their ground until it is
covered; the last row and column may reach beyond it. A cell can be a pixel of 10 m, or a square
of 1,200 m that stands for a patch: a map is a map.

**Patches.** The patch of a cell is the 1,200 m window centred on the cell, moved inside the tile
where it would stick out. Nothing is dropped and nothing is invented: a full tile (109,800 m) has
92 × 92 cells at 1,200 m.

``stride`` is any multiple of 60 m up to the patch. At odd multiples (300 m, say) the centred
patch would start in the middle of a 60 m pixel: it starts at that pixel's upper-left corner
instead, so its centre lies 30 m to the left of and above the cell's, alike for all cells. At
multiples of 120 m the centres coincide.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from geolulc.bands import RESOLUTIONS
from geolulc.errors import ParameterError, ProductError

#: Edge of a BigEarthNet patch in metres (Sumbul et al. 2019).
PATCH_SIZE: Final = 1200
#: Patches of Sentinel-2 start at multiples of this many metres from the tile's corner: its coarsest
#: pixel.
ALIGNMENT: Final = RESOLUTIONS[-1]
#: Metres a side of cells inside patches, on which a patch model's evidence is mapped: what the
#: stages of a trunk with strides of 32, 16 and 8 pixels of 10 m give. They are a choice of maps:
#: trunks of other pixels are brought to a grid as fine (nets/dilation.py).
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

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Projected (left, bottom, right, top)."""
        return self.left, self.top - self.height, self.left + self.width, self.top

    @property
    def centre(self) -> tuple[float, float]:
        """Longitude and latitude of the middle, in degrees."""
        to_degrees = Transformer.from_crs(self.crs, 4326, always_xy=True)
        x, y = self.left + self.width / 2, self.top - self.height / 2
        longitude, latitude = to_degrees.transform(x, y)
        return float(longitude), float(latitude)


@dataclass(frozen=True, slots=True)
class TileGrid(Extent):
    """The ground a product covers.

    ``alignment``: metres a side of the coarsest pixel of its sensor, at whose corners the pixels of
    all bands have theirs. Patches and windows start there.
    """

    alignment: int = field(default=ALIGNMENT, compare=False)

    def __post_init__(self) -> None:
        unit = self.alignment
        if min(self.width, self.height) < 1 or self.width % unit or self.height % unit:
            raise ProductError(
                "tile",
                found=f"an extent of {self.width} m × {self.height} m",
                expected=f"multiples of {unit} m, so that the resolutions share corners",
                remedy="Use an unmodified product, or cut all bands to whole pixels of the "
                "coarsest one.",
            )

    def shape(self, resolution: int) -> tuple[int, int]:
        """(rows, columns) of the tile in pixels of ``resolution`` metres."""
        return self.height // resolution, self.width // resolution

    def transform(self, resolution: int) -> Affine:
        """Pixel (column, row) → projected (x, y) of the pixel's upper-left corner."""
        return Affine(resolution, 0.0, self.left, 0.0, -resolution, self.top)


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells of a map: squares of ``cell`` metres from the upper-left corner of ``extent``.

    Attributes:
        extent: the ground that the cells stand for; the last row and column may reach beyond it.
        cell: side of a cell in whole metres.
        tile: the ground of the product or mosaic; ``extent`` is all of it or a part.
    """

    extent: Extent
    cell: int
    tile: Extent

    def __post_init__(self) -> None:
        top, left = self.inset
        inside = (
            min(top, left) >= 0
            and min(self.extent.height, self.extent.width) > 0
            and top + self.extent.height <= self.tile.height
            and left + self.extent.width <= self.tile.width
        )
        if self.cell < 1 or not inside or self.extent.crs != self.tile.crs:
            raise ParameterError(
                "grid",
                found=f"cells of {self.cell} m over {self.extent}",
                expected=f"cells of whole metres inside {self.tile}",
                remedy="Use the tile's own extent.",
            )

    @classmethod
    def over(cls, tile: Extent, cell: int) -> Grid:
        """Cells of ``cell`` metres over all of ``tile``."""
        return cls(tile, cell, tile)

    @property
    def inset(self) -> tuple[int, int]:
        """Metres (down, right) from the upper-left corner of the tile to that of the cells."""
        return round(self.tile.top - self.extent.top), round(self.extent.left - self.tile.left)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of cells."""
        return -(-self.extent.height // self.cell), -(-self.extent.width // self.cell)

    @property
    def transform(self) -> Affine:
        """Cell (column, row) → projected (x, y) of the cell's upper-left corner."""
        return Affine(self.cell, 0.0, self.extent.left, 0.0, -self.cell, self.extent.top)

    def edges(
        self, rows: slice = slice(None), columns: slice = slice(None)
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Projected x of the columns' edges and y of the rows' edges, cut to the extent."""
        first, last, _ = columns.indices(self.shape[1])
        x = np.minimum(np.arange(first, last + 1) * self.cell, self.extent.width)
        first, last, _ = rows.indices(self.shape[0])
        y = np.minimum(np.arange(first, last + 1) * self.cell, self.extent.height)
        return self.extent.left + x.astype(np.float64), self.extent.top - y.astype(np.float64)

    def place(self, corners: NDArray[np.intp] | NDArray[np.float64]) -> NDArray[np.float64]:
        """(column, row) corners of cells → projected (x, y), cut to the extent; float64 (n, 2)."""
        x = np.minimum(corners[:, 0] * self.cell, self.extent.width) + self.extent.left
        y = self.extent.top - np.minimum(corners[:, 1] * self.cell, self.extent.height)
        return np.column_stack([x, y]).astype(np.float64)

    def part(self, row: int, column: int, rows: int, columns: int) -> Grid:
        """The cells from ``row`` and ``column`` on, at most so many, cut to the extent."""
        extent, size = self.extent, self.cell
        part = Extent(
            extent.crs,
            extent.left + column * size,
            extent.top - row * size,
            min(columns * size, extent.width - column * size),
            min(rows * size, extent.height - row * size),
        )
        return Grid(part, size, self.tile)


@dataclass(frozen=True, slots=True)
class MapGrid:
    """The patches of the cells of a map of one product: one patch a cell, all inside the tile.

    Attributes:
        tile: the ground of the product.
        stride: side of a cell in metres.
        patch_size: side of a patch in metres.
    """

    tile: TileGrid
    stride: int = PATCH_SIZE
    patch_size: int = PATCH_SIZE

    def __post_init__(self) -> None:
        size, unit = self.patch_size, self.tile.alignment
        if size <= 0 or size % unit:
            raise ParameterError(
                "patch size",
                found=f"{size} m",
                expected=f"a multiple of {unit} m",
                remedy=f"BigEarthNet models use {PATCH_SIZE}.",
            )
        if self.stride % unit or not 0 < self.stride <= size:
            raise ParameterError(
                "stride",
                found=f"{self.stride} m",
                expected=f"a multiple of {unit} m, up to {size}",
                remedy=f"Use {size} or {size // 2 // unit * unit}, say.",
            )
        if min(self.tile.width, self.tile.height) < self.patch_size:
            raise ProductError(
                "tile",
                found=f"an extent of {self.tile.width} m × {self.tile.height} m",
                expected=f"at least one patch of {self.patch_size} m",
                remedy="Use a larger scene or a model with a smaller patch.",
            )

    @property
    def cells(self) -> Grid:
        """The cells."""
        return Grid.over(self.tile, self.stride)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of cells, and so of patches."""
        return self.cells.shape

    @property
    def patch_lead(self) -> int:
        """Metres that patches start above and to the left of their cells, inside the tile."""
        return -((self.stride - self.patch_size) // (2 * self.tile.alignment)) * self.tile.alignment

    def patch_top(self, row: int) -> int:
        """Metres from the tile's top to the patch of cells in ``row``."""
        return self._start(row, self.shape[0], self.tile.height)

    def patch_left(self, column: int) -> int:
        """Metres from the tile's left to the patch of cells in ``column``."""
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
