"""How a long piece of work reports how far it is."""

from __future__ import annotations

from collections.abc import Callable

#: Called with (done, total).
Progress = Callable[[int, int], None]
