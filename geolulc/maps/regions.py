"""Regions: cells of one code that touch along an edge. Arrays only.

A row's runs of one code are the nodes of a graph, joined where they touch a run of the same code
in the next row; its connected components are the regions. A tile at 10 m has some million runs
but 120 million cells, whose labels would be half a gigabyte. Of the libraries that label cells of
many codes, scikit-image takes longer, and connected-components-3d, which takes a quarter of the
time (of 3 % of that of the polygons), is under the LGPL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geolulc.nomenclature import Codes

#: Rows labelled together.
_ROWS: Final = 512


@dataclass(frozen=True)
class Regions:
    """The regions of a raster, in the order of their first cells; those of code 0 too.

    Attributes:
        codes: uint8 or uint16 (rows, columns): the raster.
        code: of the same type (region,): the code of each region.
        cells: int64 (region,): the number of its cells.
        of_run: int32 (run,): the region of each run, row by row.
        first_run: int64 (row + 1,): the run with which each row starts.
    """

    codes: Codes
    code: Codes
    cells: NDArray[np.int64]
    of_run: NDArray[np.int32]
    first_run: NDArray[np.int64]

    @property
    def labels(self) -> NDArray[np.int32]:
        """int32 (rows, columns): the region of each cell."""
        lengths = _lengths(_starts(self.codes))
        return np.repeat(self.of_run, lengths).reshape(self.codes.shape)

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """float64 (region,): sums of ``values`` (rows, columns) over the cells of each region."""
        of_run = np.add.reduceat(values.ravel(), np.flatnonzero(_starts(self.codes)))
        sums = np.bincount(self.of_run, weights=of_run, minlength=len(self.code))
        return np.asarray(sums, np.float64)

    def neighbours(self) -> NDArray[np.int32]:
        """int32 (pairs, 2): regions that touch along an edge, each pair once."""
        found = [np.zeros((0, 2), np.int32)]
        for first in range(0, len(self.codes), _ROWS):
            top = max(first - 1, 0)  # with the last row of the part before
            part = self.codes[top : first + _ROWS]
            of_run = self.of_run[self.first_run[top] : self.first_run[top + len(part)]]
            starts = _starts(part)
            runs = _runs(starts)
            right = np.flatnonzero(np.flatnonzero(starts) % part.shape[1])
            # two runs meet where the later of them starts
            meeting = (part[:-1] != part[1:]) & (starts[:-1] | starts[1:])
            above = np.concatenate([right - 1, runs[:-1][meeting]])
            below = np.concatenate([right, runs[1:][meeting]])
            found.append(distinct_pairs(of_run[above], of_run[below]))
        return distinct_pairs(*np.concatenate(found).T)

    def recode(self, code: Codes) -> None:
        """Write a new ``code`` (region,) into ``codes``; the regions are then out of date."""
        for row, part in _parts(self.codes):
            of_run = self.of_run[self.first_run[row] : self.first_run[row + len(part)]]
            part[:] = np.repeat(code[of_run], _lengths(_starts(part))).reshape(part.shape)


def find_regions(codes: Codes) -> Regions:
    """The regions of ``codes``: (rows, columns).

    Parts of some hundred rows are labelled one by one, then joined where they touch.
    """
    runs_of_row: list[NDArray[np.int64]] = []
    labels: list[NDArray[np.int32]] = []
    cells: list[NDArray[np.int64]] = []
    code: list[Codes] = []
    touching: list[NDArray[np.int64]] = [np.zeros((0, 2), np.int64)]
    total = 0
    above = np.zeros(0, np.int64)
    for row, part in _parts(codes):
        starts = _starts(part)
        runs = _runs(starts)
        count, of_run = _components(part, runs, starts)
        values = np.zeros(count, codes.dtype)
        values[of_run] = part[starts]
        runs_of_row.append(starts.sum(axis=1))
        labels.append((of_run + total).astype(np.int32))
        cells.append(np.bincount(of_run, weights=_lengths(starts), minlength=count).astype(int))
        code.append(values)
        if row:
            alike = codes[row - 1] == codes[row]
            touching.append(np.column_stack([above[alike], labels[-1][runs[0]][alike]]))
        above = labels[-1][runs[-1]].astype(np.int64)
        total += count
    pairs = np.unique(np.concatenate(touching), axis=0)
    count, joined = graph_components(pairs[:, 0], pairs[:, 1], total)
    sizes = np.bincount(joined, weights=np.concatenate(cells), minlength=count)
    of_region = np.zeros(count, codes.dtype)
    of_region[joined] = np.concatenate(code)
    of_run = np.concatenate([joined[part] for part in labels])
    first_run = np.concatenate([[0], np.cumsum(np.concatenate(runs_of_row))])
    return Regions(codes, of_region, sizes.astype(np.int64), of_run, first_run)


def graph_components(a: NDArray[Any], b: NDArray[Any], nodes: int) -> tuple[int, NDArray[np.int32]]:
    """The components that the edges from ``a`` to ``b`` make of ``nodes`` nodes.

    Returns:
        Their number, and int32 (node,): the component of each node, in the order of first nodes.
    """
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


def _components(
    codes: Codes, runs: NDArray[np.int32], starts: NDArray[np.bool_]
) -> tuple[int, NDArray[np.int32]]:
    """Number of regions of some rows, and the region of each run."""
    touching = codes[:-1] == codes[1:]
    # two runs meet once, though they may touch along many cells
    touching[:, 1:] &= ~touching[:, :-1] | starts[:-1, 1:] | starts[1:, 1:]
    return graph_components(runs[:-1][touching], runs[1:][touching], int(runs[-1, -1]) + 1)


def _parts(codes: Codes) -> Iterator[tuple[int, Codes]]:
    for row in range(0, len(codes), _ROWS):
        yield row, codes[row : row + _ROWS]


def _starts(codes: Codes) -> NDArray[np.bool_]:
    """bool (rows, columns): cells with which a run starts."""
    starts = np.ones(codes.shape, np.bool_)
    np.not_equal(codes[:, 1:], codes[:, :-1], out=starts[:, 1:])
    return starts


def _runs(starts: NDArray[np.bool_]) -> NDArray[np.int32]:
    """int32 (rows, columns): the number of each cell's run."""
    return (starts.cumsum(axis=None, dtype=np.int32) - 1).reshape(starts.shape)


def _lengths(starts: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The number of cells of each run."""
    return np.diff(np.append(np.flatnonzero(starts), starts.size))
