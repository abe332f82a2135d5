"""What a model was trained with: versions, hardware and the commit of the source."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import timm
import torch

import geolulc


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Versions and hardware, JSON-able; None for what is not there."""
    cuda = device.type == "cuda"
    return {
        "geolulc": geolulc.__version__,
        "commit": _commit(Path(geolulc.__file__).parents[1]),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "hardware": torch.cuda.get_device_name(device) if cuda else platform.machine(),
    }


def _commit(folder: Path) -> str | None:
    """The commit of a checkout, "+" after it where files differ; None for anything else."""
    if not (folder / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "geolulc")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None
