"""The QGIS of this machine, run without a screen; tests that need it skip where there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

#: Debian's wrapper gives qgis_process an option that it does not know.
QGIS = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
SYSTEM_PYTHON = "/usr/bin/python3"


def _python_has_qgis() -> bool:
    if not Path(SYSTEM_PYTHON).exists():
        return False
    test = [SYSTEM_PYTHON, "-c", "import qgis.gui"]
    return subprocess.run(test, capture_output=True, check=False).returncode == 0


needs_qgis_in_python = pytest.mark.skipif(
    not _python_has_qgis(), reason="no QGIS: /usr/bin/python3 cannot import it"
)


def qgis_environment(folder: Path) -> dict[str, str]:
    """Variables for a QGIS without a screen whose profile is in ``folder``."""
    folder.chmod(0o700)
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    return {
        **kept,
        "QT_QPA_PLATFORM": "offscreen",
        "XDG_RUNTIME_DIR": str(folder),
        "QGIS_CUSTOM_CONFIG_PATH": str(folder),
    }


def run_in_qgis(script: Path, *arguments: object, environment: Mapping[str, str]) -> Any:
    """Run a script with the system's Python; returns the JSON of the last line that it prints."""
    done = subprocess.run(
        [SYSTEM_PYTHON, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])
