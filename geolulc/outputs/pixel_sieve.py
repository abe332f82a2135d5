"""A minimum mapping unit: small regions go to their neighbours. Arrays only."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.nomenclature import NO_CLASS
from geolulc.outputs.pixel_regions import distinct_pairs, find_regions, graph_components
from geolulc.pixel_map import PixelGrid

_SQUARE_METRES_PER_HECTARE: Final = 10_000


def unit_pixels(grid: PixelGrid, hectares: float) -> int:
    """Pixels of a region of ``hectares`` (on the map), at least 1."""
    return max(1, math.ceil(hectares * _SQUARE_METRES_PER_HECTARE / grid.resolution**2))


def sieve(codes: NDArray[np.uint8], pixels: int, start: int = 1) -> None:
    """Let regions of fewer than ``pixels`` pixels go to their largest neighbour, in place.

    Pixels of a region touch along an edge. The smallest regions go first, then those below
    twice that size, and so on: speckle becomes the regions it crowds in, where GDAL's sieve,
    which asks for a neighbour of the full size, leaves it. A region without a neighbour (an
    island in nodata) stays, and nodata stays where it is.

    Works on the graph of regions: after the first look at the pixels its time depends on how
    many regions there are.

    Args:
        codes: uint8 (rows, columns); 0 = no data. The whole map: at a seam, regions would be cut.
        pixels: the minimum.
        start: regions below this many are known to be gone.
    """
    if start >= pixels:
        return
    regions = find_regions(codes)
    pairs = regions.neighbours()
    graph = _Graph(
        regions.code, regions.pixels, pairs[(regions.code[pairs] != NO_CLASS).all(axis=1)]
    )
    part_of = np.arange(len(regions.code), dtype=np.int32)
    size = start
    while size < pixels:
        size = min(2 * size, pixels)
        while (joined := graph.merge(size)) is not None:
            part_of = joined[part_of]
    regions.recode(graph.code[part_of])


class _Graph:
    """Regions and which of them touch.

    Attributes:
        code, size: uint8 and int64 (region,).
        pairs: int32 (pairs, 2): neighbours with a class, each pair once.
    """

    def __init__(
        self, code: NDArray[np.uint8], size: NDArray[np.int64], pairs: NDArray[np.int32]
    ) -> None:
        self.code, self.size, self.pairs = code, size, pairs

    def merge(self, pixels: int) -> NDArray[np.int32] | None:
        """Let regions of fewer pixels than that go to their largest neighbour, if it is larger.

        Of equal ones the first counts as the larger. A region that is larger than all its
        neighbours waits until one of them has grown.

        Returns:
            int32 (region,): what each is part of now; None where there was nothing to do.
        """
        count = len(self.code)
        order = np.lexsort((-np.arange(count), self.size))
        rank = np.empty(count, np.int64)
        rank[order] = np.arange(count)
        largest = rank.copy()
        for one, other in ((0, 1), (1, 0)):
            a, b = self.pairs[:, one], self.pairs[:, other]
            small = self.size[a] < pixels
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
        self.code = np.zeros(found, np.uint8)
        self.code[joined] = code
        self.size = np.bincount(joined, weights=self.size, minlength=found).astype(np.int64)
        self.pairs = distinct_pairs(joined[a[~alike]], joined[b[~alike]])
        return joined
