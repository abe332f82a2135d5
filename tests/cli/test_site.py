"""The site builds without a network, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import geolulc
from geolulc.cli import COMMANDS

REPOSITORY = Path(geolulc.__file__).resolve().parents[1]


def test_the_site_builds_and_loads_nothing_of_others(tmp_path: Path) -> None:
    for module in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(module, reason="no mkdocs here: pip install 'geolulc[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    commands = (tmp_path / "reference" / "commands.html").read_text(encoding="utf-8")
    assert all(f"geolulc {name}" in commands for name in COMMANDS)
    assert (tmp_path / "repository" / "models" / "bigearthnet-few-patches.html").is_file()
    loaded = r"""<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)=["']?https?://"""
    for page in tmp_path.rglob("*.html"):
        assert not re.search(loaded, page.read_text(encoding="utf-8")), page
