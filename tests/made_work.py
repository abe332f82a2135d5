"""Work for workers in tests: says what it did in files, and takes its worker down when told."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from geolulc.cluster.worker import Attempt
from geolulc.errors import CheckpointError, ProductError
from geolulc.staging import this_process


@dataclass(frozen=True)
class Noting:
    """Items are words: "kill…" kills its worker, "kill once…" the first only, and so on."""

    folder: Path
    sound: bool = True

    def prepare(self, threads: int) -> Callable[[str, Attempt], str]:
        if not self.sound:
            raise CheckpointError("model", found="none", expected="one", remedy="Put it there.")
        self._note("prepared")
        return self._do

    def _do(self, item: str, attempt: Attempt) -> str:
        self._note(item)
        if item.startswith("kill") and not ("once" in item and attempt.earlier):
            os.kill(os.getpid(), signal.SIGKILL)
        if item.startswith("bad"):
            raise ProductError(item, found="nothing", expected="a scene", remedy="Give one.")
        if item.startswith("warn"):
            logging.getLogger("geolulc.mapping").warning("%s is strange", item)
        if item.startswith("slow"):
            try:
                for _ in range(600):
                    time.sleep(0.05)
                    attempt.go_on()
            finally:
                self._note(f"ended {item}")
        return item.upper()

    def _note(self, what: str) -> None:
        name = f"{what}@{this_process()}@{time.monotonic_ns()}"
        (self.folder / name).touch()

    def noted(self, what: str) -> int:
        """How often it was noted."""
        return len(list(self.folder.glob(f"{what}@*")))
