"""A scene: what can be mapped, whatever its files are. No file is read here.

Whoever maps knows these two protocols and nothing else. A kind of product is a class with the
attributes and the method of ``Scene``, and a row of the table in ``products/doors.py``.

Digital numbers (DN) are those of Sentinel-2, whatever the files hold: DN 0 is no data, and
``DN + offset`` is 1/10000 of reflectance (``products/radiometry.py``); of another sensor, 1 / its
``scale``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from geolulc.bands import Sensor
from geolulc.errors import ProductError
from geolulc.grid import PATCH_SIZE, MapGrid, TileGrid
from geolulc.products.directions import Direction

#: Image of the scene classification, codes 0..11 of Sen2Cor as uint8.
CLASSIFICATION: Final = "SCL"
#: Image in natural colours, uint8 red, green and blue.
TRUE_COLOUR: Final = "TCI"
#: Image of the aerosol optical depth at 550 nm × 1000, uint16 with 0 for no data.
AEROSOL: Final = "AOT"


@dataclass(frozen=True, slots=True)
class Tiling:
    """An image's rows and columns and those of its tiles, in pixels.

    A tile is what is read at once: a JP2 tile, a chunk, a block. Those of the last row and column
    may be smaller.
    """

    shape: tuple[int, int]
    tile_shape: tuple[int, int]

    @property
    def counts(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.shape[0] // self.tile_shape[0]), -(-self.shape[1] // self.tile_shape[1])

    def rows(self, row: int) -> slice:
        """Pixel rows of the tiles in ``row``."""
        start = row * self.tile_shape[0]
        return slice(start, min(start + self.tile_shape[0], self.shape[0]))

    def columns(self, column: int) -> slice:
        """Pixel columns of the tiles in ``column``."""
        start = column * self.tile_shape[1]
        return slice(start, min(start + self.tile_shape[1], self.shape[1]))


class Image(Protocol):
    """The pixels of a band, of the scene classification or of the image in natural colours.

    Its upper-left corner is that of the scene. ``str()`` of it names it in messages.
    """

    @property
    def resolution(self) -> int:
        """Metres a side of a pixel."""

    @property
    def tiling(self) -> Tiling:
        """Its size, ``grid.shape(resolution)`` of the scene, and its tiles."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16 of a band and the aerosol; uint8 of the others."""

    def read(self, row: int, column: int, out: NDArray[Any]) -> None:
        """Read one tile of the tiling into ``out``, an array of the tile's rows and columns.

        Several threads may call it at once. Mapping reads each tile once, those of one row of
        tiles together, from top to bottom.

        Raises:
            ProductError: the tile cannot be read.
        """

    def shrunk(
        self, rows: slice, columns: slice, shape: tuple[int, int]
    ) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Some rows and columns as (layers, *shape): 3 layers of natural colours, else 1.

        For pictures: from the overviews of a file where there are any, of the nearest pixels.

        Raises:
            ProductError: they cannot be read.
        """


class Scene(Protocol):
    """What can be mapped."""

    @property
    def path(self) -> Path | str:
        """Where it comes from, for messages."""

    @property
    def name(self) -> str:
        """What its map is called: a file name without suffix."""

    @property
    def grid(self) -> TileGrid:
        """The ground it covers."""

    @property
    def sensor(self) -> Sensor:
        """Whose bands it has, at which resolutions; ``DN + offset`` = ``scale`` × reflectance."""

    @property
    def level(self) -> str:
        """Processing level: "L2A", surface reflectance; "L1C", at the top of the atmosphere."""

    @property
    def images(self) -> Collection[str]:
        """Names of its images: of bands ("B02"), and of the constants above."""

    @property
    def offsets(self) -> Mapping[str, int]:
        """What to add to the DN of each band."""

    @property
    def sun(self) -> Direction | None:
        """Where the sun stands, the mean over the scene; None where it is not known."""

    @property
    def views(self) -> Mapping[str, Direction]:
        """Where the sensor is seen from the ground, by band; of those of which it is known."""

    @property
    def facts(self) -> Mapping[str, str]:
        """Where a map comes from, for ``MapHeader.scene``.

        name, platform, sensing_time (ISO 8601), baseline, tile; level where it is not L2A; the
        ``id`` of the sensor where it is not Sentinel-2's.
        """

    def opened(
        self, names: Collection[str], *, verify: bool = True
    ) -> AbstractContextManager[Mapping[str, Image]]:
        """These images, ready to read until the context ends, in the order of ``names``.

        Only these are looked at, unpacked and, with ``verify``, compared with the checksums that
        came with them.

        Raises:
            ProductError: one of them is not there, or is damaged.
            OutputError: no room for temporary files.
        """


def require_images(scene: Scene, names: Collection[str], reader: str = "its reader") -> None:
    """``ProductError`` unless the scene has the images that ``reader``, a model, needs."""
    if missing := [name for name in names if name not in scene.images]:
        raise ProductError(
            scene.path,
            found=f"no image of {', '.join(missing)}",
            expected=f"{', '.join(names)}, which {reader} needs",
            remedy="Download the whole product, or use a model of other bands.",
        )


def patches_of(scene: Scene, size: int = PATCH_SIZE, stride: int | None = None) -> MapGrid:
    """The patches of ``size`` metres over a scene, side by side or every ``stride`` metres.

    Raises:
        ProductError: the scene is smaller than one.
        ParameterError: patches or steps that are not of whole coarsest pixels.
    """
    try:
        return MapGrid(scene.grid, stride or size, size)
    except ProductError as error:
        raise error.within(scene.path) from None


def scene_description(scene: Scene) -> dict[str, Any]:
    """What ``geolulc info`` says of any scene; JSON-able."""
    grid = scene.grid
    return {
        "path": str(scene.path),
        **scene.facts,
        "crs": grid.crs,
        "left": grid.left,
        "top": grid.top,
        "width_m": grid.width,
        "height_m": grid.height,
        "offsets": dict(scene.offsets),
        "sun": None if scene.sun is None else asdict(scene.sun),
        "views": {name: asdict(view) for name, view in scene.views.items()},
        "bands": [name for name in scene.sensor.names if name in scene.images],
        "missing_bands": [name for name in scene.sensor.names if name not in scene.images],
        "scene_classification": CLASSIFICATION in scene.images,
        "true_colour": TRUE_COLOUR in scene.images,
    }
