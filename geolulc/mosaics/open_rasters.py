"""Rasters of many maps, few of them open at a time."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

import rasterio
from rasterio.errors import RasterioError

from geolulc.errors import OutputError

#: Datasets held open, so that neither descriptors nor memory grow with the number of maps.
_MOST_OPEN: Final = 24


class OpenRasters:
    """The rasters that were asked for last. Use as a context: it holds datasets open."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, Any] = OrderedDict()

    def __enter__(self) -> OpenRasters:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def dataset(self, path: Path) -> Any:
        """The rasterio dataset of ``path``; it may be closed when another is asked for.

        Raises:
            OutputError: it cannot be opened.
        """
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        while len(self._open) >= _MOST_OPEN:
            self._open.popitem(last=False)[1].close()
        try:
            self._open[path] = rasterio.open(path)
        except RasterioError as error:
            raise damaged(path, error) from error
        return self._open[path]


def damaged(path: Path, error: Exception) -> OutputError:
    """What is said of a map whose raster ``path`` cannot be read."""
    return OutputError(
        path,
        found=f"a damaged file ({error})",
        expected="a whole map",
        remedy="Map the scene again, or leave the map out.",
    )
