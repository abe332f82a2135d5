"""How a long piece of work reports how far it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

#: Called with (done, total).
Progress = Callable[[int, int], None]
#: Opens the progress of one of several pieces of work by the name of the piece.
NamedProgress = Callable[[str], AbstractContextManager[Progress | None]]


def silent(_: str) -> AbstractContextManager[None]:
    """Open no progress."""
    return nullcontext()
