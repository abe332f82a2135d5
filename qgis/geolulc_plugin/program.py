"""The installed command, run in its own environment: nothing of QGIS's Python reaches it.

No QGIS is imported here. What the command promises (JSON on stdout, lines of progress on stderr,
exit codes) stands in docs/machines.md of geolulc.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

#: Of QGIS's own environment; each would lead the command's libraries to those of QGIS.
FOREIGN = ("GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_DATA", "PROJ_LIB", "PYTHONHOME", "PYTHONPATH")
#: Seconds that a stopped command has to remove what it began.
PATIENCE = 30.0
WINDOWS = sys.platform == "win32"


class Failed(Exception):
    """The command failed; the text is its own line: what was found, expected, and the remedy.

    ``out`` is what it had written on stdout.
    """

    def __init__(self, text: str, out: str = "") -> None:
        super().__init__(text)
        self.out = out


class Stopped(Exception):
    """The command was stopped by the user."""


def program_in(environment: Path) -> Path:
    """The command of a virtual environment, whether it is there or not."""
    return environment / ("Scripts/geolulc.exe" if WINDOWS else "bin/geolulc")


def find_program(setting: str, environment: Path) -> str | None:
    """The command to run: GEOLULC_PROGRAM, the setting, the plugin's environment, or of PATH."""
    for given in (os.environ.get("GEOLULC_PROGRAM"), setting.strip()):
        if given:
            return shutil.which(given)
    own = program_in(environment)
    return str(own) if own.is_file() else shutil.which("geolulc")


def own_environment() -> dict[str, str]:
    """Variables for a program that brings its own Python, GDAL and PROJ."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    return {**kept, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}


def run(
    command: Sequence[str],
    *,
    on_progress: Callable[[dict], None] = lambda _: None,
    on_line: Callable[[str], None] = lambda _: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> str:
    """Run a command to its end; returns its stdout.

    Args:
        command: the program and its arguments.
        on_progress: called with each line of progress that is JSON.
        on_line: called with each other line of stderr, but not with errors.
        is_stopped: asked ten times a second whether the user wants to stop.

    Raises:
        Failed: the exit code is not 0, or the program cannot be started.
        Stopped: the user stopped it.
    """
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=own_environment(),
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            start_new_session=not WINDOWS,
        )
    except OSError as error:
        raise Failed(f"{command[0]} cannot be started: {error.strerror}") from error
    out: list[str] = []
    lines: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=lambda: out.append(process.stdout.read()), daemon=True)
    sorter = threading.Thread(target=_read_lines, args=(process.stderr, lines), daemon=True)
    reader.start()
    sorter.start()
    errors: list[str] = []
    stopped = False
    while True:
        try:
            line = lines.get(timeout=0.1)
        except queue.Empty:
            line = ""
        if line is None:
            break
        _sort(line, on_progress, on_line, errors)
        if not stopped and is_stopped():
            stopped = True
            threading.Thread(target=_stop, args=(process,), daemon=True).start()
    code = process.wait()
    reader.join()
    sorter.join()
    process.stdout.close()
    process.stderr.close()
    if stopped or code in (130, 143):
        raise Stopped
    if code:
        raise Failed(explain(code, errors), "".join(out))
    return "".join(out)


def _read_lines(stream, lines: queue.Queue) -> None:
    for line in stream:
        lines.put(line.rstrip("\r\n"))
    lines.put(None)


def _sort(line: str, on_progress: Callable, on_line: Callable, errors: list[str]) -> None:
    """Hand a line of stderr on: progress, an error, or something to read."""
    if line.startswith("{"):
        try:
            on_progress(json.loads(line))
            return
        except ValueError:
            pass
    if line.startswith("geolulc: caution: "):
        on_line(line)
    elif line.startswith(("geolulc: ", "Error: ")):
        errors.append(line.split(": ", 1)[1])
    elif line.strip():
        errors.append(line)
        on_line(line)


def _stop(process: subprocess.Popen) -> None:
    """Have the command remove what it began and end; after PATIENCE, end it and its workers."""
    process.terminate()
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    if process.poll() is None:
        if WINDOWS:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


def explain(code: int, errors: Sequence[str]) -> str:
    """Why a command with exit code ``code`` failed, from the lines that it wrote."""
    if code in (-9, 137):
        return (
            "The system ended geolulc, most likely for lack of memory. Close other programs, map a "
            "smaller area, or give it fewer threads."
        )
    if code in (1, 2) and errors and not any(e.startswith("Traceback") for e in errors):
        # wrong usage prints how to use the command first
        return "\n".join(errors if code == 1 else errors[-1:])
    last = "\n".join(errors[-20:])
    return f"geolulc ended with exit code {code}. Please report it with what Status prints.\n{last}"
