"""Jobs on disk: which process works on which job, and the results.

    DIR/manifest.json          settings, regions and jobs of the experiment
    DIR/runs/JOB/claim.json    the process that works on it
    DIR/runs/JOB/run/          its training run, resumed where it was stopped
    DIR/runs/JOB/logits_….npy  calibrated logits of the test patches, by remedy
    DIR/runs/JOB/result.json   what came out: written last, never worked on again

Processes on one machine or on several that share DIR take jobs from it without knowing of each
other. The claim of a process that is gone falls to the next one: on the same machine at once, on
another one when it has not been renewed for ``STALE_SECONDS``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from geolulc.errors import OutputError
from geolulc.learning.trackers import Tracker
from geolulc.nets.checkpoint import CHECKPOINT_NAME
from geolulc.ownership import OWN
from geolulc.staging import explained, is_alive, staged, write_text

#: A claim is renewed at every step of training and batch of a test.
STALE_SECONDS: Final = 1800.0
_RENEW_SECONDS: Final = 20.0
_MANIFEST: Final = "manifest.json"


@dataclass(frozen=True)
class JobFolder:
    """The folder of the job with that ``id`` of the experiment in ``experiment``."""

    experiment: Path
    id: str

    @property
    def path(self) -> Path:
        """The folder."""
        return self.experiment / "runs" / self.id

    @property
    def run(self) -> Path:
        """Its training run."""
        return self.path / "run"

    @property
    def model(self) -> Path:
        """The checkpoint of its training run."""
        return self.run / CHECKPOINT_NAME

    def logits(self, remedy: str) -> Path:
        """Calibrated logits of a test, float16 (patches, classes), as npy."""
        return self.path / f"logits_{remedy}.npy"

    @property
    def result_file(self) -> Path:
        """The result of the job: there when it is finished."""
        return self.path / "result.json"

    def result(self) -> dict[str, Any] | None:
        """The result of the job, None before the end."""
        if not self.result_file.is_file():
            return None
        try:
            return dict(json.loads(self.result_file.read_text(encoding="utf-8")))
        except ValueError as error:
            raise OutputError(
                self.result_file,
                found=f"no JSON ({error})",
                expected="the result of a job",
                remedy="Remove its folder: the job is then done again.",
            ) from None

    def write_result(self, result: dict[str, Any]) -> None:
        """Write the result: the job is finished."""
        write_json(self.result_file, result)

    @contextlib.contextmanager
    def claimed(self) -> Iterator[Claim | None]:
        """The right to work on the job, None where another process has it."""
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            claim = Claim(self.path / "claim.json")
            taken = claim.take()
        if not taken:
            yield None
            return
        try:
            yield claim
        finally:
            claim.path.unlink(missing_ok=True)


class Claim(Tracker):
    """A file that says who works on a job; as a tracker of its training, renewed at each step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._renewed = time.monotonic()

    def take(self) -> bool:
        """Take it; whether that worked."""
        if self._is_stale():
            # of several that find it so, one gets to rename it
            with contextlib.suppress(FileNotFoundError):
                gone = self.path.with_name(f".claim-{socket.gethostname()}-{os.getpid()}")
                self.path.rename(gone)
                gone.unlink()
        owner = {"host": socket.gethostname(), "process": os.getpid()}
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(owner, file)
        return True

    def renew(self, *_: object, **__: object) -> None:
        """Say that work goes on; cheap enough for every step."""
        if time.monotonic() - self._renewed > _RENEW_SECONDS:
            self._renewed = time.monotonic()
            with contextlib.suppress(FileNotFoundError):
                os.utime(self.path)

    step = epoch = renew

    def _is_stale(self) -> bool:
        try:
            age = time.time() - self.path.stat().st_mtime
            owner = json.loads(self.path.read_text(encoding="utf-8"))
            host, process = str(owner["host"]), int(owner["process"])
        except FileNotFoundError:
            return False
        except (ValueError, KeyError, TypeError):
            # killed between making and writing it, or writing it this very moment
            return age > _RENEW_SECONDS
        if host != socket.gethostname():
            return age > STALE_SECONDS
        return process != os.getpid() and not is_alive(process)


def begin_experiment(folder: Path, manifest: dict[str, Any], *, overwrite: int) -> None:
    """Make or go on with the experiment in ``folder``: jobs that are done stay done.

    Raises:
        OutputError: something else is there, or an experiment on another store.
    """
    file = folder / _MANIFEST
    new = bool(overwrite) or not file.is_file()
    if new:
        try:
            with staged([folder], overwrite=OWN * folder.exists(), kind="experiment") as (made,):
                made.mkdir()
                write_json(made / _MANIFEST, manifest)
        except OutputError:
            if overwrite or not file.is_file():
                raise
            new = False  # another process has begun it in between
    if not new:
        try:
            begun = json.loads(file.read_text(encoding="utf-8"))["store"]["identity"]
        except (ValueError, KeyError, TypeError):
            begun = "a manifest that cannot be read"
        if begun != manifest["store"]["identity"]:
            raise OutputError(
                folder,
                found="an experiment on another store",
                expected=f"one on {manifest['store']['path']}",
                remedy="Give another --out, or --overwrite to begin anew.",
            )
        write_json(file, manifest)


def write_json(path: Path, content: object) -> None:
    """Write JSON, whole or not at all; replaces what is there."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
