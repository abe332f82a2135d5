"""The tutorials are run as they stand: each command of each page, in its order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import Done, geolulc

REPOSITORY = Path(__file__).resolve().parents[2]
#: Commands on data and machines that nobody has here.
ELSEWHERE = ("ben.store", "…", "tcp://")


def steps(text: str) -> list[str]:
    """Lines of code that run geolulc or Python."""
    found = re.findall(r"^ {4}((?:geolulc|python) .*)$", text, re.MULTILINE)
    return [line for line in found if not any(word in line for word in ELSEWHERE)]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a checkout, and the one to be in."""
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def follow(line: str) -> Done:
    """What a shell would do, with geolulc in this process."""
    words = [
        name
        for word in shlex.split(line)
        for name in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
    ]
    if words[0] == "geolulc":
        return geolulc(*words[1:])
    done = subprocess.run(
        [sys.executable, *words[1:]],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "page", sorted(page.stem for page in (REPOSITORY / "docs" / "tutorials").glob("*.md"))
)
def test_a_tutorial_works(page: str, workplace: Path) -> None:
    text = (REPOSITORY / "docs" / "tutorials" / f"{page}.md").read_text(encoding="utf-8")
    for code, place in re.findall(r"^```python\n(.*?)^```\n+Save it as `(\S+)`", text, re.M | re.S):
        (workplace / place).parent.mkdir(exist_ok=True)
        (workplace / place).write_text(code, encoding="utf-8")
    commands = steps(text)
    assert len(commands) >= 3
    for line in commands:
        done = follow(line)
        assert done.returncode == 0, f"{line}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize(
    "notebook", sorted(path.name for path in (REPOSITORY / "examples").glob("notebook_*.py"))
)
def test_a_notebook_runs(notebook: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "examples" / notebook)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "MPLBACKEND": "Agg"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(tmp_path.glob("notebook-*/*.png"))


def test_what_the_first_tutorial_says_is_there_is_there(workplace: Path) -> None:
    text = (REPOSITORY / "docs" / "tutorials" / "first-map.md").read_text(encoding="utf-8")
    assert {"first/map.png", "first/map.html", "first/map_classes.tif", "first/map.gpkg"} <= set(
        re.findall(r"`(first/[\w.]+)`", text)
    )
