"""A minimum mapping unit: small regions go to their neighbours. Arrays only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geolulc.maps.regions import distinct_pairs, find_regions, graph_components
from geolulc.nomenclature import NO_CLASS, Codes


def sieve(
    codes: Codes, cells: int, start: int = 1, *, no_class: int = NO_CLASS
) -> NDArray[np.int64]:
    """Let regions of fewer than ``cells`` cells go to their largest neighbour, in place.

    The smallest regions go first, then those below twice that size, and so on: speckle becomes
    part of the regions around it, where GDAL's sieve, which asks for a neighbour of the full
    size, leaves it. A region without a neighbour (an island in nodata) stays, and nodata stays
    where it is.

    Works on the graph of regions: after the first look at the cells its time depends on the
    number of regions.

    Args:
        codes: uint8 or uint16 (rows, columns).
        cells: the minimum.
        start: no region is smaller than this, islands aside.
        no_class: the code of cells without data.

    Returns:
        int64 (region,): the number of cells of each region that has a class.
    """
    regions = find_regions(codes)
    pairs = regions.neighbours()
    graph = _Graph(
        regions.code, regions.cells, pairs[(regions.code[pairs] != no_class).all(axis=1)]
    )
    part_of = np.arange(len(regions.code), dtype=np.int32)
    size = start
    while size < cells:
        size = min(2 * size, cells)
        while (joined := graph.merge(size)) is not None:
            part_of = joined[part_of]
    regions.recode(graph.code[part_of])
    return np.asarray(graph.size[graph.code != no_class], np.int64)


class _Graph:
    """Regions and their neighbours.

    Attributes:
        code, size: codes and int64 (region,).
        pairs: int32 (pairs, 2): regions with a class that touch, each pair once.
    """

    def __init__(self, code: Codes, size: NDArray[np.int64], pairs: NDArray[np.int32]) -> None:
        self.code, self.size, self.pairs = code, size, pairs

    def merge(self, cells: int) -> NDArray[np.int32] | None:
        """Let regions of fewer than ``cells`` cells go to their largest neighbour, if it is larger.

        Of equal ones the first counts as the larger. A region that is larger than all its
        neighbours waits until one of them has grown.

        Returns:
            int32 (region,): the region that each is a part of now; None if nothing changed.
        """
        count = len(self.code)
        order = np.lexsort((-np.arange(count), self.size))
        rank = np.empty(count, np.int64)
        rank[order] = np.arange(count)
        largest = rank.copy()
        for one, other in ((0, 1), (1, 0)):
            a, b = self.pairs[:, one], self.pairs[:, other]
            small = self.size[a] < cells
            np.maximum.at(largest, a[small], rank[b[small]])
        target = order[largest]
        if (target == np.arange(count)).all():
            return None
        while (target != (further := target[target])).any():
            target = further
        code = self.code[target]
        a, b = self.pairs.T
        alike = code[a] == code[b]
        found, joined = graph_components(
            np.concatenate([np.arange(count), a[alike]]), np.concatenate([target, b[alike]]), count
        )
        self.code = np.zeros(found, code.dtype)
        self.code[joined] = code
        self.size = np.bincount(joined, weights=self.size, minlength=found).astype(np.int64)
        self.pairs = distinct_pairs(joined[a[~alike]], joined[b[~alike]])
        return joined
