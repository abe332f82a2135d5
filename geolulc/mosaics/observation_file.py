"""Observations of a block that are too many for memory: kept in a file, read back row by row."""

from __future__ import annotations

import tempfile
from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolulc.mosaics.windows import Observation

#: The layers of an observation beside its probabilities.
_SINGLE = tuple(field.name for field in fields(Observation) if field.name != "p")


class ObservationFile:
    """A context: the file goes with it."""

    def __init__(self, folder: Path, shape: tuple[int, int, int]) -> None:
        """``shape``: (class, rows, columns) of the block; ``folder``: where there is room."""
        classes, self._rows, self._columns = shape
        self._layers = classes + len(_SINGLE)
        self._count = 0
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> ObservationFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, observation: Observation) -> None:
        """Keep one more."""
        single = [getattr(observation, name)[None] for name in _SINGLE]
        values = np.concatenate([observation.p, *single]).astype(np.float32, copy=False)
        # some rows of all layers lie together: they are read in one piece
        self._file.write(values.swapaxes(0, 1).tobytes())
        self._count += 1

    def rows(self, first: int, last: int) -> list[Observation]:
        """Rows ``first`` to ``last`` of all of them, in their order."""
        return [self._read(number, first, last) for number in range(self._count)]

    def _read(self, number: int, first: int, last: int) -> Observation:
        row = self._layers * self._columns * np.dtype(np.float32).itemsize
        self._file.seek((number * self._rows + first) * row)
        data = self._file.read((last - first) * row)
        shape = (last - first, self._layers, self._columns)
        values: NDArray[np.float32] = np.frombuffer(data, np.float32).reshape(shape).swapaxes(0, 1)
        classes = self._layers - len(_SINGLE)
        single = dict(zip(_SINGLE, values[classes:], strict=True))
        return Observation(p=values[:classes], **single)
