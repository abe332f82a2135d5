"""Runs commands of geolulc and says how they went, in this process or in a limited child of it.

The parent has loaded the libraries and forks: a case costs its own work, not the seconds of
loading. Time is limited, and so is the memory of a child and its children, which is watched.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from geolulc.cli import main

#: How a run can end; only the first two pass.
FINE, CLEAR, TRACEBACK, HANG, MEMORY, WRONG = (
    *("fine", "clear error", "traceback", "hang"),
    *("too much memory", "wrong success"),
)
#: Seconds between two looks at a child.
_LOOK = 0.02
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CLEAR = re.compile(r"geolulc: .*found .*; expected .*")


@dataclass(frozen=True)
class Limits:
    """Seconds, and bytes of memory more than the parent has."""

    seconds: float = 60.0
    memory: int = 1_500_000_000


@dataclass(frozen=True)
class Outcome:
    """How a run ended; the last line that it said, its signal, or what is wrong."""

    name: str
    said: str = ""

    @property
    def passes(self) -> bool:
        return self.name in (FINE, CLEAR)


def run_command(arguments: list[str], folder: Path) -> Outcome:
    """The outcome of ``geolulc ARGUMENTS`` in ``folder``, as far as this process can tell."""
    said = io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # a test's own filters make errors of them
        code = _main(arguments)
    return _judge(code, said.getvalue())


def _main(arguments: list[str]) -> int:
    before, sys.argv = sys.argv, ["geolulc", *arguments]
    try:
        main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception:  # what a user would see
        traceback.print_exc()
        return 1
    finally:
        sys.argv = before
    return 0


def _judge(code: int, said: str) -> Outcome:
    lines = said.strip().splitlines()
    last = lines[-1] if lines else ""
    if "Traceback (most recent call last)" in said or "Exception ignored" in said:
        return Outcome(TRACEBACK, f"{_place(lines)}{last}")
    if code == 0:
        return Outcome(FINE)
    if (code == 1 and any(map(_CLEAR.match, lines))) or (code == 2 and "Usage:" in said):
        return Outcome(CLEAR, last)
    return Outcome(TRACEBACK, f"exit {code} without a clear line: {last}")


def _place(lines: list[str]) -> str:
    """The last line of geolulc that a traceback names."""
    own = [line for line in lines if '  File "' in line and "/geolulc/" in line]
    return re.sub(r'.*/(geolulc/.*?)", line (\d+).*', r"\1:\2: ", own[-1]) if own else ""


def in_child(work: Callable[[], Outcome], folder: Path, limits: Limits) -> Outcome:
    """The outcome of ``work`` in a child process; ``folder`` gets what it says on the way."""
    folder.mkdir(parents=True, exist_ok=True)
    answer, said = folder / "outcome.json", folder / "said.txt"
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        os._exit(_be_child(work, answer, said))
    end = time.monotonic() + limits.seconds
    most = limits.memory + _resident(os.getpid())
    stopped = None
    while not (ended := os.wait4(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            stopped = Outcome(HANG, f"no end in {limits.seconds:g} s")
        elif sum(map(_resident, _family(child))) > most:
            stopped = Outcome(MEMORY, f"more than {limits.memory / 1e9:g} GB")
        if stopped:
            os.kill(child, signal.SIGKILL)
            os.wait4(child, 0)
            break
        time.sleep(_LOOK)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # its own children
    if stopped:
        return stopped
    if ended[2].ru_maxrss * 1024 > most:
        return Outcome(MEMORY, f"more than {limits.memory / 1e9:g} GB")
    if answer.is_file():
        return Outcome(**json.loads(answer.read_text()))
    return Outcome(TRACEBACK, f"ended by {os.waitstatus_to_exitcode(ended[1])}, see {said.name}")


def _be_child(work: Callable[[], Outcome], answer: Path, said: Path) -> int:
    try:
        os.setpgid(0, 0)
        for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY | os.O_CREAT)):
            os.dup2(os.open(said if number == 2 else os.devnull, flags), number)
        answer.write_text(json.dumps(asdict(work())))
    except BaseException:
        os.write(2, traceback.format_exc().encode("utf-8", "replace"))
    return 0


def _family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError, ValueError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from _family(int(child))


def _resident(pid: int) -> int:
    """Bytes of memory that a process has in use, shared ones too; 0 once it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0
