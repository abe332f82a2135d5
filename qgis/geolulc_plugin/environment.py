"""The command's own environment: where it is, what it can do, and how it is made. No QGIS here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import program

#: Seconds that the list of models is waited for: QGIS is starting meanwhile.
_PATIENCE = 30.0
#: geolulc needs it.
LEAST_PYTHON = (3, 11)
_PYTHONS = ("python3.13", "python3.12", "python3.11", "python3.14", "python3", "python")


def list_models(command: str, cache: Path) -> list[dict]:
    """Rows of ``geolulc models --json``, remembered in ``cache`` until the command changes.

    An empty list where the command does not answer.
    """
    stamp = f"{command} {Path(command).stat().st_mtime}"
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
        if known["of"] == stamp:
            return known["models"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        deadline = time.monotonic() + _PATIENCE
        late = lambda: time.monotonic() > deadline  # noqa: E731
        models = json.loads(program.run([command, "models", "--json"], is_stopped=late))
    except (program.Failed, program.Stopped, ValueError):
        return []
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps({"of": stamp, "models": models}), encoding="utf-8")
    except OSError:
        pass
    return models


def find_python(given: str) -> str:
    """A Python that geolulc can live in: the given one, or the first that is new enough.

    ``program.Failed`` where there is none.
    """
    names = [given] if given else [*_PYTHONS, sys.executable]
    for name in names:
        path = shutil.which(name)
        if path and _version(path) >= LEAST_PYTHON:
            return path
    raise program.Failed(
        f"{given or 'Python'}: found no Python {LEAST_PYTHON[0]}.{LEAST_PYTHON[1]} or newer. "
        "Install one, and give its path as Python."
    )


def _version(path: str) -> tuple[int, ...]:
    """(3, 12) of a Python; (0,) of anything else, QGIS's own program too."""
    if "qgis" in Path(path).name.lower():
        return (0,)
    script = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    try:
        done = subprocess.run(
            [path, "-c", script],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            env=program.own_environment(),
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        return tuple(int(n) for n in done.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return (0,)


def make(
    environment: Path,
    package: str,
    options: Sequence[str],
    python: str,
    *,
    on_line: Callable[[str], None],
    on_step: Callable[[int, int], None],
    is_stopped: Callable[[], bool],
) -> str:
    """Make ``environment`` and install ``package`` into it with pip; returns the command's path.

    An environment that is there is updated. One that is not complete has no command, and is made
    again by the next call.

    Raises:
        program.Failed: no Python, no network, or no such package: in pip's own words.
        program.Stopped: the user stopped it.
    """
    python = find_python(python)
    inside = environment / ("Scripts/python.exe" if program.WINDOWS else "bin/python")
    pip = [str(inside), "-m", "pip", "--disable-pip-version-check", "install", "--upgrade"]
    steps = [[*pip, *options, package]]
    if not inside.is_file():
        steps.insert(0, [python, "-m", "venv", str(environment)])
    for i, step in enumerate(steps):
        on_step(i, len(steps))
        on_line(" ".join(step))
        on_line(program.run(step, on_line=on_line, is_stopped=is_stopped).strip())
    on_step(len(steps), len(steps))
    command = program.program_in(environment)
    if not command.is_file():
        raise program.Failed(f"{package}: found no command geolulc in it. Give another package.")
    return str(command)
