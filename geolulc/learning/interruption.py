"""Ctrl-C and SIGTERM during training: finish the step, save, then stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class TrainingInterrupted(Exception):
    """The run was stopped by signal ``number`` after its state was saved."""

    def __init__(self, number: int, epoch: int, step: int) -> None:
        self.number = number
        self.epoch = epoch
        self.step = step
        super().__init__(f"stopped in epoch {epoch} after step {step}")


@contextlib.contextmanager
def noticed_signals() -> Iterator[Callable[[], int]]:
    """Yield a function that returns the number of the signal that came, 0 for none.

    A second signal acts at once, as without this. Outside the main thread signals are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    came = [0]
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def notice(number: int, frame: FrameType | None) -> None:
        came[0] = number
        for each, handler in before.items():
            signal.signal(each, handler)

    for each in before:
        signal.signal(each, notice)
    try:
        yield lambda: came[0]
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
