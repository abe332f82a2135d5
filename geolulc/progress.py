"""How a long piece of work reports how far it is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

#: Called with (done, total).
Progress = Callable[[int, int], None]
#: Opens the progress of one of several pieces of work by the name of the piece.
NamedProgress = Callable[[str], AbstractContextManager[Progress | None]]


def silent(_: str) -> AbstractContextManager[None]:
    """Open no progress."""
    return nullcontext()


class ProgressLines:
    """Progress as lines of JSON, for programs that read it.

    A line is ``{"stage": …, "unit": …, "done": 12, "total": 92, "rate": 3.4}``: ``rate`` is units
    a second since the first line, null there. The first and the last state always have a line,
    those between have one in ``every`` seconds at most.
    """

    def __init__(
        self,
        stage: str,
        unit: str,
        write: Callable[[str], None],
        *,
        every: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Lines of the work ``stage``, counted in ``unit`` ("windows"), each given to ``write``."""
        self._named = {"stage": stage, "unit": unit}
        self._write, self._every, self._clock = write, every, clock
        self._first: tuple[float, int] | None = None
        self._told = 0.0
        self._waiting: str | None = None

    def __call__(self, done: int, total: int) -> None:
        """Tell that ``done`` of ``total`` units are done."""
        now = self._clock()
        start, already = self._first = self._first or (now, done)
        rate = round((done - already) / (now - start), 3) if now > start else None
        self._waiting = json.dumps({**self._named, "done": done, "total": total, "rate": rate})
        if done >= total or now == start or now - self._told >= self._every:
            self._told = now
            self.close()

    def close(self) -> None:
        """Write the last state, if it has no line yet."""
        if self._waiting is not None:
            self._write(self._waiting)
            self._waiting = None
