"""Threads that do what there is to do next: decode a tile, or run the network on a batch.

One pool does both, so cores never wait while there is work of either kind, and nothing runs on
more threads than it was given. Exceptions travel in futures; a task that hangs is reported.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

from geolulc.errors import GeolulcError

T = TypeVar("T")

#: A JP2 tile takes a tenth of a second, a batch a second: this long without any is a hang.
STALL_SECONDS = 600.0


class Workers:
    """``count`` threads; the lowest ``priority`` runs first, equal ones in the order given.

    The threads are daemons: one that hangs in a decoder cannot keep the process alive.
    """

    def __init__(self, count: int, *, stall_seconds: float = STALL_SECONDS) -> None:
        self._stall_seconds = stall_seconds
        self._tasks: list[tuple[int, int, Future[Any], Callable[[], Any]]] = []
        self._order = itertools.count()
        self._ready = threading.Condition()
        self._closed = False
        self._last_end = time.monotonic()
        self._running: dict[int, str] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"geolulc-{i}", daemon=True)
            for i in range(max(1, count))
        ]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        return len(self._threads)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, priority: int, description: str, task: Callable[[], T]) -> Future[T]:
        """A future of ``task()``; ``description`` names it should it hang."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            self._running[threading.get_ident()] = description
            try:
                result = task()
            except BaseException as error:  # whatever it is, the one who waits shall see it
                future.set_exception(error)
            else:
                future.set_result(result)
            finally:
                del self._running[threading.get_ident()]
                self._last_end = time.monotonic()

        with self._ready:
            if self._closed:
                raise RuntimeError("the workers have stopped")
            if not self._tasks:
                self._last_end = time.monotonic()
            heapq.heappush(self._tasks, (priority, next(self._order), future, run))
            self._ready.notify()
        return future

    def result(self, future: Future[T]) -> T:
        """The future's result, or its exception; ``GeolulcError`` when all work stands still."""
        self.wait_any([future])
        return future.result()

    def wait_any(self, futures: Iterable[Future[Any]]) -> set[Future[Any]]:
        """Those of ``futures`` that are done, at least one."""
        pending = list(futures)
        while True:
            done, _ = wait(
                pending, timeout=min(1.0, self._stall_seconds), return_when=FIRST_COMPLETED
            )
            if done:
                return done
            idle = time.monotonic() - self._last_end
            if idle > self._stall_seconds:
                what = ", ".join(sorted(self._running.values())) or "its queue"
                raise GeolulcError(
                    what,
                    found=f"no progress for {idle:.0f} s",
                    expected="a result within seconds",
                    remedy="Check the disk or network share that holds the product; run again.",
                )

    def close(self) -> None:
        """Drop what has not begun and wait for what has, but not for what hangs."""
        with self._ready:
            self._closed = True
            for _, _, future, _ in self._tasks:
                future.cancel()
            self._tasks.clear()
            self._ready.notify_all()
        deadline = time.monotonic() + min(30.0, self._stall_seconds)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._tasks and not self._closed:
                    self._ready.wait()
                if not self._tasks:
                    return
                run = heapq.heappop(self._tasks)[3]
            run()
