"""The tutorials are run as they stand: each command of each page, in its order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import geolulc

REPOSITORY = Path(geolulc.__file__).resolve().parents[1]
#: Commands on data that nobody has here.
ELSEWHERE = ("ben.store", "…")


def steps(text: str) -> list[str]:
    """Lines of code that run geolulc or Python."""
    found = re.findall(r"^ {4}((?:geolulc|python) .*)$", text, re.MULTILINE)
    return [line for line in found if not any(word in line for word in ELSEWHERE)]


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder like a checkout, with geolulc and python on the PATH."""
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    (tmp_path / "bin").mkdir()
    for name, arguments in (("geolulc", "-m geolulc"), ("python", "")):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("page", ["first-map", "accuracy", "own-labels", "training"])
def test_a_tutorial_works(page: str, workplace: Path) -> None:
    text = (REPOSITORY / "docs" / "tutorials" / f"{page}.md").read_text(encoding="utf-8")
    for code, place in re.findall(r"^```python\n(.*?)^```\n+Save it as `(\S+)`", text, re.M | re.S):
        (workplace / place).parent.mkdir(exist_ok=True)
        (workplace / place).write_text(code, encoding="utf-8")
    commands = steps(text)
    assert len(commands) >= 3
    done = subprocess.run(
        ["bash", "-euxc", "\n".join(commands)],
        cwd=workplace,
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PATH": f"{workplace / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_what_the_first_tutorial_says_is_there_is_there(workplace: Path) -> None:
    text = (REPOSITORY / "docs" / "tutorials" / "first-map.md").read_text(encoding="utf-8")
    assert {"first/map.png", "first/map.html", "first/map_classes.tif", "first/map.gpkg"} <= set(
        re.findall(r"`(first/[\w.]+)`", text)
    )
