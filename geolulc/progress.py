"""The type of functions that are told how far long work has come."""

from __future__ import annotations

from collections.abc import Callable

#: Called with (done, total).
Progress = Callable[[int, int], None]
