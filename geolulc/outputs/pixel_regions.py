"""Regions of one class in a raster of a whole tile, labelled without a label for each pixel.

A row's runs of one code are the nodes of a graph, joined where they touch a run of the same code
in the next row; its connected components are the regions. A tile has some million runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

#: Rows looked at together.
_ROWS: Final = 512


@dataclass(frozen=True)
class Regions:
    """Pixels of one code that touch along an edge; those without data (code 0) too.

    Attributes:
        codes: uint8 (rows, columns): the raster.
        code: uint8 (region,): the code of each.
        pixels: int64 (region,): the size of each.
        of_run: int32 (run,): the region of each run, row by row.
        first_run: int64 (row + 1,): the run with which each row starts.
    """

    codes: NDArray[np.uint8]
    code: NDArray[np.uint8]
    pixels: NDArray[np.int64]
    of_run: NDArray[np.int32]
    first_run: NDArray[np.int64]

    def window(self, rows: slice, columns: slice) -> NDArray[np.int32]:
        """int32 (rows, columns): the region of each pixel of a window."""
        first = self.first_run[rows.start]
        runs = _starts(self.codes[rows]).cumsum(axis=None, dtype=np.int64) - 1
        shape = (rows.stop - rows.start, self.codes.shape[1])
        return np.asarray(self.of_run[first + runs.reshape(shape)[:, columns]], np.int32)


def find_regions(codes: NDArray[np.uint8]) -> Regions:
    """The regions of ``codes``: uint8 (rows, columns)."""
    counts = np.concatenate([_starts(part).sum(axis=1) for _, part in _parts(codes)])
    first_run = np.concatenate([[0], np.cumsum(counts)])
    total = int(first_run[-1])
    upper, lower, lengths = [], [], []
    for row, part in _parts(codes):
        starts = _starts(part)
        # one row more, which the next part starts with, so that nothing is cut
        deeper = codes[row : row + len(part) + 1]
        ids = (_starts(deeper).cumsum(axis=None, dtype=np.int64) - 1).reshape(deeper.shape)
        ids += first_run[row]
        touching = deeper[:-1] == deeper[1:]
        # two runs meet once, though they may touch along many pixels
        touching[:, 1:] &= ~(
            touching[:, :-1] & ~_starts(deeper)[:-1, 1:] & ~_starts(deeper)[1:, 1:]
        )
        upper.append(ids[:-1][touching])
        lower.append(ids[1:][touching])
        where = np.flatnonzero(starts)
        lengths.append(np.diff(np.append(where, starts.size)))
    a, b = np.concatenate(upper), np.concatenate(lower)
    graph = coo_array((np.ones(len(a), np.bool_), (a, b)), shape=(total, total))
    count, of_run = connected_components(graph, directed=False)
    pixels = np.bincount(of_run, weights=np.concatenate(lengths), minlength=count)
    code = np.zeros(count, np.uint8)
    code[of_run] = np.concatenate([part[_starts(part)] for _, part in _parts(codes)])
    return Regions(codes, code, pixels.astype(np.int64), of_run.astype(np.int32), first_run)


def _parts(codes: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    for row in range(0, len(codes), _ROWS):
        yield row, codes[row : row + _ROWS]


def _starts(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """bool (rows, columns): pixels with which a run starts."""
    starts = np.ones(codes.shape, np.bool_)
    np.not_equal(codes[:, 1:], codes[:, :-1], out=starts[:, 1:])
    return starts
