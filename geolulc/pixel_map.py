"""What mapping at pixel precision hands to outputs: a header, then strips from top to bottom.

A tile at 10 m has 120 million pixels and 19 classes, 9 GB of float32: no one holds it whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geolulc.errors import ParameterError
from geolulc.grid import Extent, TileGrid

#: Sides of a pixel in metres that a map can have.
PIXEL_SIZES = (10, 20, 60)


@dataclass(frozen=True, slots=True)
class PixelGrid:
    """Pixels of ``resolution`` metres over a part of ``tile``.

    ``top`` and ``left`` are metres from the tile's upper-left corner, ``height`` and ``width``
    the extent in metres; all multiples of ``resolution``. A map of a scene has a ``TileGrid`` and
    a resolution of ``PIXEL_SIZES``; a mosaic has its own extent, and any whole metres.
    """

    tile: Extent
    resolution: int
    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        numbers = self.top, self.left, self.height, self.width
        inside = (
            min(self.top, self.left) >= 0
            and min(self.height, self.width) > 0
            and self.top + self.height <= self.tile.height
            and self.left + self.width <= self.tile.width
        )
        of_scene = isinstance(self.tile, TileGrid)
        if (
            self.resolution < 1
            or (of_scene and self.resolution not in PIXEL_SIZES)
            or not inside
            or any(number % self.resolution for number in numbers)
        ):
            raise ParameterError(
                "pixel grid",
                found=f"{numbers} of {self.resolution} m pixels",
                expected=f"pixels of {PIXEL_SIZES if of_scene else 'whole'} m inside the tile",
                remedy="Use the tile's own extent.",
            )

    @classmethod
    def of_tile(cls, tile: Extent, resolution: int) -> PixelGrid:
        """All of ``tile``."""
        return cls(tile, resolution, 0, 0, tile.height, tile.width)

    @property
    def extent(self) -> Extent:
        """The ground that the pixels cover."""
        corner = self.transform
        return Extent(self.tile.crs, corner.c, corner.f, int(self.width), int(self.height))

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of pixels."""
        return self.height // self.resolution, self.width // self.resolution

    @property
    def transform(self) -> Affine:
        """Pixel (column, row) → projected (x, y) of its upper-left corner."""
        r = self.resolution
        return Affine(r, 0.0, self.tile.left + self.left, 0.0, -r, self.tile.top - self.top)


@dataclass(frozen=True)
class PixelMapHeader:
    """All of a map but its pixels.

    Attributes:
        grid: where the pixels are.
        classes: names, in the order of a strip's probabilities, as in ``nomenclature``.
        nomenclature: "ben19" or "clc43".
        scene: what the map was made from: "name", "sensing_time", "baseline", "platform", "tile"…
        model: what made it: "name", "sha256"…
        masked_scl: codes of the scene classification that were made nodata; empty for none.
    """

    grid: PixelGrid
    classes: tuple[str, ...]
    nomenclature: str
    scene: Mapping[str, str] = field(default_factory=dict)
    model: Mapping[str, str] = field(default_factory=dict)
    masked_scl: tuple[int, ...] = ()


@dataclass(frozen=True)
class PixelStrip:
    """Some whole rows of a map; strips come from top to bottom, each row once.

    Attributes:
        row: the first row.
        probabilities: uint8 (class, rows, columns), share of 250 (0..250 is 0..1, so that a step
            is 0.4 %); 255 in every class where there is nothing to say: no data, masked by
            the scene classification, or outside the area of interest.
    """

    row: int
    probabilities: NDArray[np.uint8]


#: ``PixelStrip.probabilities`` of probability 1, and of no data.
FULL = 250
NODATA = 255
