"""The rows of a map that windows add to, until they are complete and leave."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Canvas:
    """Sums over windows of weight × value, of as many rows of cells as windows reach at a time.

    Sums of whole numbers do not depend on the order in which windows come.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: DTypeLike, *, weighted: bool) -> None:
        """``shape``: classes, rows held at a time, columns; ``weighted``: weights add up too."""
        self._sums: NDArray[Any] = np.zeros(shape, dtype)
        self._weights = np.zeros(shape[1:], np.float32) if weighted else None
        self._first = 0

    def move(self, first: int) -> None:
        """Hold the rows from ``first`` on; those above have left."""
        moved = first - self._first
        if not moved:
            return
        kept = max(0, self._sums.shape[1] - moved)
        for layers in (self._sums, self._weights):
            if layers is not None:
                rows = layers.reshape(-1, *layers.shape[-2:])
                rows[:, :kept] = rows[:, rows.shape[1] - kept :].copy()
                rows[:, kept:] = 0
        self._first = first

    def add(
        self,
        row: int,
        column: int,
        values: NDArray[Any],
        weights: NDArray[np.float32] | None = None,
    ) -> None:
        """Add ``values`` (class, rows, columns) to the cells from ``row`` and ``column`` on.

        ``weights`` (rows, columns) of a weighted canvas: ``values`` are times these already.
        """
        high, wide = values.shape[1:]
        at = (slice(row - self._first, row - self._first + high), slice(column, column + wide))
        self._sums[(slice(None), *at)] += values
        if self._weights is not None and weights is not None:
            self._weights[at] += weights

    def sums(self, first: int, last: int) -> NDArray[Any]:
        """The sums (class, rows, columns) of rows ``first`` to ``last`` (exclusive); a view."""
        return self._sums[:, first - self._first : last - self._first]

    def reached(self, first: int, last: int) -> NDArray[np.bool_]:
        """Where a window added: bool (rows, columns) of rows ``first`` to ``last``."""
        if self._weights is None:
            raise ValueError("a canvas without weights does not know")
        found = np.zeros((last - first, self._weights.shape[1]), bool)
        top, bottom = max(first, self._first), min(last, self._first + len(self._weights))
        if top < bottom:
            found[top - first : bottom - first] = (
                self._weights[top - self._first : bottom - self._first] > 0
            )
        return found

    def means(self, first: int, last: int) -> NDArray[np.float32]:
        """The sums of some rows divided by their weights; NaN where no window added.

        Float32 (class, rows, columns). Rows that are not held have no windows.
        """
        if self._weights is None:
            raise ValueError("a canvas without weights has no means")
        classes, rows, columns = self._sums.shape
        means = np.full((classes, last - first, columns), np.nan, np.float32)
        top, bottom = max(first, self._first), min(last, self._first + rows)
        if top < bottom:
            weights = self._weights[top - self._first : bottom - self._first]
            held = means[:, top - first : bottom - first]
            np.divide(self.sums(top, bottom), weights, out=held, where=weights > 0)
        return means
