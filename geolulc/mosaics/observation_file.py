"""Observations of a block that are too many for memory: kept in a file, read back in strips."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geolulc.mosaics.observations import Observation


class ObservationFile:
    """Observations of equal shape in a file that goes with the context."""

    def __init__(self, folder: Path) -> None:
        """``folder``: where there is room."""
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        #: Of each observation: layer → start in the file, type, and shape with the rows first.
        self._places: list[dict[str, tuple[int, np.dtype[Any], tuple[int, ...]]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, observation: Observation) -> None:
        """Keep one more."""
        places = {}
        for name, values in observation.layers.items():
            # a row of all classes lies together: some rows are read in one piece
            by_row = np.ascontiguousarray(np.moveaxis(values, -2, 0))
            places[name] = self._file.tell(), by_row.dtype, by_row.shape
            self._file.write(by_row.data)
        self._places.append(places)

    def rows(self, first: int, last: int) -> list[Observation]:
        """Rows ``first`` to ``last``, the last one excluded, of all observations in their order."""
        return [
            Observation(**{name: self._read(*place, first, last) for name, place in places.items()})
            for places in self._places
        ]

    def _read(
        self, start: int, dtype: np.dtype[Any], shape: tuple[int, ...], first: int, last: int
    ) -> NDArray[Any]:
        row = dtype.itemsize * math.prod(shape[1:])
        self._file.seek(start + first * row)
        data = self._file.read((last - first) * row)
        return np.moveaxis(np.frombuffer(data, dtype).reshape(last - first, *shape[1:]), 0, -2)
