"""A map as small pictures: tiles of its own grid, each level half as fine as the one below."""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
from PIL import Image
from rasterio.windows import Window

from geolulc.analysis.map_file import MapFile

#: Side of a tile in its own pixels.
SIDE: Final = 256


class MapTiles:
    """The pictures of a map, and what it says at a cell. Not for several threads at a time.

    A tile (level, row, column) shows ``SIDE`` × 2^level cells a side, from (row, column) times as
    many on; coarse levels by the file's overviews.
    """

    def __init__(self, main: MapFile) -> None:
        """Of an open map.tif."""
        self._main = main
        header = main.header
        self._colors = np.zeros((len(header.positions), 4), np.uint8)
        for each in header.land_cover:
            red, green, blue = bytes.fromhex(each.color[1:7])
            self._colors[each.code] = red, green, blue, 255

    @property
    def levels(self) -> int:
        """Levels, 0 the finest; the last one has one tile."""
        return max(0, int(np.ceil(np.log2(max(self._main.header.grid.shape) / SIDE)))) + 1

    def describe(self) -> dict[str, Any]:
        """JSON-able: name, shape, cell, tiles, and the classes with their colours."""
        header = self._main.header
        rows, columns = header.grid.shape
        return {
            "name": self._main.path.name,
            "rows": rows,
            "columns": columns,
            "cell": header.grid.cell,
            "side": SIDE,
            "levels": self.levels,
            "classes": [{"name": c.name, "color": c.color} for c in header.land_cover],
            "cautions": [caution.text for caution in self._main.cautions],
        }

    def draw(self, level: int, row: int, column: int) -> bytes:
        """A tile as PNG, transparent where there is no data.

        Raises:
            IndexError: there is no such tile.
            OutputError: the file is damaged.
        """
        rows, columns = self._main.header.grid.shape
        reach = SIDE << level
        top, left = row * reach, column * reach
        if not (0 <= level < self.levels and 0 <= top < rows and 0 <= left < columns):
            raise IndexError((level, row, column))
        height, width = min(reach, rows - top), min(reach, columns - left)
        shape = (-(-height >> level), -(-width >> level))
        picture = np.zeros((SIDE, SIDE, 4), np.uint8)
        codes = self._main.codes(Window(left, top, width, height), shape)
        picture[: shape[0], : shape[1]] = self._colors[codes]
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        return file.getvalue()

    def at(self, row: int, column: int) -> dict[str, Any]:
        """What the map says of a cell: its class, and of cells the likeliest classes.

        Raises:
            IndexError: there is no such cell.
            OutputError: the file is damaged.
        """
        header = self._main.header
        rows, columns = header.grid.shape
        if not (0 <= row < rows and 0 <= column < columns):
            raise IndexError((row, column))
        window = Window(column, row, 1, 1)
        position = int(header.positions[self._main.codes(window)[0, 0]])
        if position < 0:
            return {"class": None, "probabilities": {}}
        found: dict[str, Any] = {"class": header.classes[position], "probabilities": {}}
        if not header.exclusive:
            shares = self._main.shares(window)[:, 0, 0]
            for k in np.argsort(-shares)[:3]:
                found["probabilities"][header.classes[k]] = round(float(shares[k]), 3)
        return found
