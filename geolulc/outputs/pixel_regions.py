"""Regions of one class in a raster of a whole tile, labelled without a label for each pixel.

A row's runs of one code are the nodes of a graph, joined where they touch a run of the same code
in the next row; its connected components are the regions. A tile has some million runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

#: Rows looked at together.
_ROWS: Final = 512


@dataclass(frozen=True)
class Pieces:
    """Parts of runs, row by row.

    Attributes:
        of_piece: int32 (piece,): the region of each.
        first: int64 (piece,): its first pixel, counted along the rows from the first of them.
        pixels: int64 (piece,).
    """

    of_piece: NDArray[np.int32]
    first: NDArray[np.intp]
    pixels: NDArray[np.intp]


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
        codes = self.codes[rows]
        of_run = self.of_run[self.first_run[rows.start] : self.first_run[rows.stop]]
        of_pixel = np.repeat(of_run, _lengths(np.flatnonzero(_starts(codes)), codes.size))
        return of_pixel.reshape(codes.shape)[:, columns]

    def pieces(self, rows: slice, along: int) -> Pieces:
        """The runs of some whole rows, cut every ``along`` columns."""
        codes = self.codes[rows]
        of_run = self.of_run[self.first_run[rows.start] : self.first_run[rows.stop]]
        starts = _starts(codes)
        cut = starts.copy()
        cut[:, ::along] = True
        first = np.flatnonzero(cut)
        run = np.cumsum(starts.ravel()[first]) - 1
        return Pieces(of_run[run], first, _lengths(first, codes.size))

    def neighbours(self) -> NDArray[np.int32]:
        """int32 (pairs, 2): regions that touch along an edge, each pair once."""
        found = [np.zeros((0, 2), np.int32)]
        for first in range(0, len(self.codes), _ROWS):
            top = max(first - 1, 0)  # and what the last part ended with
            part = self.codes[top : first + _ROWS]
            of_run = self.of_run[self.first_run[top] : self.first_run[top + len(part)]]
            starts = _starts(part)
            runs = (starts.cumsum(axis=None, dtype=np.int32) - 1).reshape(part.shape)
            right = np.flatnonzero(np.flatnonzero(starts) % part.shape[1])
            # two runs meet where the later of them starts
            meeting = (part[:-1] != part[1:]) & (starts[:-1] | starts[1:])
            above = np.concatenate([right - 1, runs[:-1][meeting]])
            below = np.concatenate([right, runs[1:][meeting]])
            found.append(distinct_pairs(of_run[above], of_run[below]))
        return distinct_pairs(*np.concatenate(found).T)

    def recode(self, code: NDArray[np.uint8]) -> None:
        """Write ``code`` (region,) into ``codes``: what is known of the regions holds no more."""
        for row, part in _parts(self.codes):
            of_run = self.of_run[self.first_run[row] : self.first_run[row + len(part)]]
            lengths = _lengths(np.flatnonzero(_starts(part)), part.size)
            part[:] = np.repeat(code[of_run], lengths).reshape(part.shape)


def find_regions(codes: NDArray[np.uint8]) -> Regions:
    """The regions of ``codes``: uint8 (rows, columns).

    Parts of some hundred rows are labelled by themselves, then what meets at their borders.
    """
    counts: list[NDArray[np.int64]] = []
    labels: list[NDArray[np.int32]] = []
    pixels: list[NDArray[np.int64]] = []
    code: list[NDArray[np.uint8]] = []
    meeting: list[NDArray[np.int64]] = []
    total = 0
    above = below = np.zeros(0, np.int64)
    for row, part in _parts(codes):
        starts = _starts(part)
        runs = (starts.cumsum(axis=None, dtype=np.int32) - 1).reshape(part.shape)
        found, of_run = _components(part, runs, starts)
        lengths = _lengths(np.flatnonzero(starts), starts.size)
        values = np.zeros(found, np.uint8)
        values[of_run] = part[starts]
        counts.append(starts.sum(axis=1))
        labels.append((of_run + total).astype(np.int32))
        pixels.append(np.bincount(of_run, weights=lengths, minlength=found).astype(np.int64))
        code.append(values)
        if row:
            below = labels[-1][runs[0]]
            touching = codes[row - 1] == codes[row]
            meeting.append(np.column_stack([above[touching], below[touching]]))
        above = labels[-1][runs[-1]].astype(np.int64)
        total += found
    pairs = np.unique(np.concatenate([np.zeros((0, 2), np.int64), *meeting]), axis=0)
    count, joined = graph_components(pairs[:, 0], pairs[:, 1], total)
    sizes = np.bincount(joined, weights=np.concatenate(pixels), minlength=count)
    of_region = np.zeros(count, np.uint8)
    of_region[joined] = np.concatenate(code)
    of_run = np.concatenate([joined[part] for part in labels])
    first_run = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return Regions(codes, of_region, sizes.astype(np.int64), of_run, first_run)


def _components(
    codes: NDArray[np.uint8], runs: NDArray[np.int32], starts: NDArray[np.bool_]
) -> tuple[int, NDArray[np.int32]]:
    """Number of regions of some rows, and the region of each run."""
    touching = codes[:-1] == codes[1:]
    # two runs meet once, though they may touch along many pixels
    touching[:, 1:] &= ~touching[:, :-1] | starts[:-1, 1:] | starts[1:, 1:]
    return graph_components(runs[:-1][touching], runs[1:][touching], int(runs[-1, -1]) + 1)


def graph_components(a: NDArray[Any], b: NDArray[Any], nodes: int) -> tuple[int, NDArray[np.int32]]:
    """How many components the edges from ``a`` to ``b`` leave, and int32 (node,): of each."""
    graph = coo_array((np.ones(len(a), np.bool_), (a, b)), shape=(nodes, nodes))
    count, of_node = connected_components(graph, directed=False)
    return int(count), np.asarray(of_node, np.int32)


def distinct_pairs(a: NDArray[np.int32], b: NDArray[np.int32]) -> NDArray[np.int32]:
    """int32 (pairs, 2): the pairs of ``a`` and ``b`` that differ, the lower first, each once."""
    differ = a != b
    a, b = a[differ], b[differ]
    keys = np.minimum(a, b).astype(np.int64) << 32 | np.maximum(a, b)
    keys.sort()  # what np.unique does since numpy 2.3, by hashing, takes four times as long
    keys = keys[np.diff(keys, prepend=-1) != 0]
    return np.column_stack([keys >> 32, keys & 0xFFFFFFFF]).astype(np.int32)


def _parts(codes: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    for row in range(0, len(codes), _ROWS):
        yield row, codes[row : row + _ROWS]


def _lengths(first: NDArray[np.intp], pixels: int) -> NDArray[np.intp]:
    """Of runs, from where each starts and the number of all pixels."""
    return np.diff(np.append(first, pixels))


def _starts(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """bool (rows, columns): pixels with which a run starts."""
    starts = np.ones(codes.shape, np.bool_)
    np.not_equal(codes[:, 1:], codes[:, :-1], out=starts[:, 1:])
    return starts
