"""Arrays for golden maps: integers from a hash of the position, the same on every machine.

No random generator, no transcendental function: probabilities are whole multiples of 1/256 (or
steps of 1/250 as bytes), shares whole multiples of 1/64, so that sums and products are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Probability 1 and no data in maps of pixels.
FULL, NODATA = 250, 255


def hashed(*coordinates: Any) -> NDArray[np.int64]:
    """Whole numbers 0 to 2³¹ - 1 that look random, from broadcast whole coordinates."""
    mixed = np.zeros(1, np.uint64)
    for coordinate in coordinates:
        mixed = (mixed ^ np.asarray(coordinate, np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return (mixed >> np.uint64(33)).astype(np.int64)


def hills(rows: int, columns: int, step: int, seed: int) -> NDArray[np.int64]:
    """Whole numbers 0 to 255, linear between knots that are ``step`` apart."""
    knots = hashed(
        seed, np.arange(rows // step + 2)[:, None], np.arange(columns // step + 2)[None, :]
    )
    knots = knots % 256
    y, x = np.arange(rows)[:, None], np.arange(columns)[None, :]
    i, j, fy, fx = y // step, x // step, y % step, x % step
    upper = knots[i, j] * (step - fx) + knots[i, j + 1] * fx
    lower = knots[i + 1, j] * (step - fx) + knots[i + 1, j + 1] * fx
    return (upper * (step - fy) + lower * fy) // step**2


def speckle(rows: int, columns: int, seed: int) -> NDArray[np.int64]:
    """Whole numbers 0 to 2³¹ - 1, each cell by itself."""
    return hashed(seed, np.arange(rows)[:, None], np.arange(columns)[None, :])


def cell_values(
    classes: int, rows: int, columns: int, *, seed: int, step: int = 4, holes: int = 11
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Probabilities (class, row, column), valid and clear shares; one cell in ``holes`` nodata."""
    p = np.empty((classes, rows, columns), np.float32)
    for i, layer in enumerate(p):
        steep = hills(rows, columns, step, 1000 * seed + i) * 2 - 128
        rough = speckle(rows, columns, 1000 * seed + 100 + i) % 33 - 16
        layer[:] = np.clip(steep + rough, 0, 256) / 256
    valid = (64 - speckle(rows, columns, 1000 * seed + 200) % 24).astype(np.float32) / 64
    clear = (64 - speckle(rows, columns, 1000 * seed + 201) % 40).astype(np.float32) / 64
    empty = speckle(rows, columns, 1000 * seed + 202) % holes == 0
    empty[rows // 2 : rows // 2 + rows // 6, columns // 3 : columns // 2] = True
    valid[empty] = 0.25
    p[:, empty] = np.nan
    return p, valid, clear


def pixel_values(
    classes: int, rows: int, columns: int, *, seed: int, step: int = 40, nodata: bool = True
) -> NDArray[np.uint8]:
    """Probabilities in steps of 1/250 (class, row, column), regions of one pixel to hectares.

    With ``nodata`` a square and a corner have none, and some pixels here and there.
    """
    raw = np.empty((classes, rows, columns), np.int32)
    rough = speckle(rows, columns, 2000 * seed + 200)
    for i, layer in enumerate(raw):
        height = hills(rows, columns, step, 2000 * seed + i)
        height += hills(rows, columns, max(step // 6, 2), 2000 * seed + 100 + i) // 3
        height += (rough >> i % 8 * 3) % 24
        layer[:] = height**3 >> 12
    total = np.maximum(raw.sum(axis=0, dtype=np.int32), 1)
    found = np.empty(raw.shape, np.uint8)
    for layer, steps in zip(raw, found, strict=True):
        steps[:] = layer * FULL // total
    first = found.argmax(axis=0)[None]
    # of two pixels in three all adds up to 1; the others lack some steps, as rounding leaves them
    missing = FULL - found.sum(axis=0, dtype=np.uint8)
    missing = np.where(rough % 3, missing, 0).astype(np.uint8)[None]
    np.put_along_axis(found, first, np.take_along_axis(found, first, 0) + missing, 0)
    y, x = np.mgrid[:rows, :columns]
    if nodata:
        found[:, rows // 3 : rows // 2, columns // 2 : columns // 2 + columns // 7] = NODATA
        found[:, 10 * (x + y) > 9 * (rows + columns)] = NODATA
        found[:, speckle(rows, columns, 2000 * seed + 301) % 997 == 0] = NODATA
    return found


def picture(rows: int, columns: int) -> NDArray[np.uint8]:
    """A colour image, uint8 (rows, columns, 3)."""
    return np.stack([hills(rows, columns, 16, 900 + i) for i in range(3)], axis=-1).astype(np.uint8)
