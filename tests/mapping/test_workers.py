"""Threads lose neither exceptions nor time, and a hang is told."""

from __future__ import annotations

import threading

import pytest

from geolulc.errors import GeolulcError
from geolulc.mapping.workers import Workers


def test_lower_priorities_first_and_equal_ones_in_order():
    done: list[str] = []
    gate = threading.Event()
    with Workers(1) as workers:
        workers.submit(0, "gate", gate.wait)
        futures = [
            workers.submit(priority, name, lambda name=name: done.append(name))
            for priority, name in [(2, "c"), (1, "a"), (1, "b"), (3, "d")]
        ]
        gate.set()
        for future in futures:
            workers.result(future)
    assert done == ["a", "b", "c", "d"]


def test_exceptions_reach_the_one_who_waits():
    with Workers(2) as workers:
        future = workers.submit(0, "division", lambda: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            workers.result(future)
        # and the thread lives on
        assert workers.result(workers.submit(0, "sum", lambda: 1 + 1)) == 2


def test_a_hang_is_told_by_what_hangs():
    gate = threading.Event()
    workers = Workers(1, stall_seconds=0.2)
    future = workers.submit(0, "decoding JP2 tile (3, 4) of B02.jp2", gate.wait)
    with pytest.raises(GeolulcError, match=r"JP2 tile \(3, 4\) of B02\.jp2: found no progress"):
        workers.result(future)
    workers.close()  # does not wait for ever
    gate.set()


def test_what_has_not_begun_is_dropped_at_the_end():
    gate = threading.Event()
    workers = Workers(1, stall_seconds=5)
    running = workers.submit(0, "gate", lambda: gate.wait(5))
    waiting = workers.submit(1, "later", lambda: 1)
    gate.set()
    workers.close()
    assert running.done()
    assert waiting.cancelled() or waiting.result() == 1
    with pytest.raises(RuntimeError, match="stopped"):
        workers.submit(0, "too late", lambda: 1)
