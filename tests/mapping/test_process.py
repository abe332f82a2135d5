"""The library leaves the process of its user as it is; the command tunes its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: Runs the first argument, and prints what it changed and which of C's functions were looked up.
RUN = """
import json, os, sys
names = []
sys.addaudithook(lambda event, args: names.append(args[1]) if event == "ctypes.dlsym" else None)
before = dict(os.environ)
try:
    exec(sys.argv[1])
except SystemExit:
    pass
changed = {k: v for k, v in os.environ.items() if before.get(k) != v}
loaded = "torch" in sys.modules
print()
print(json.dumps({"environment": changed, "mallopt": "mallopt" in names, "torch": loaded}))
"""
VARIABLE = "THP_MEM_ALLOC_ENABLE"


def run(code: str) -> Any:
    """What ``code`` does to a new process."""
    environment = {k: v for k, v in os.environ.items() if k != VARIABLE}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", RUN, code],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "code",
    [
        "from geolulc.nets import Model, build_net",
        "import geolulc.mapping.arrays",
        "from made_pixel_nets import Itself, make_pixel_model\n"
        "from geolulc.mapping import MapOptions, Mapper\n"
        "with Mapper([make_pixel_model(Itself())], MapOptions(device='cpu')): pass",
    ],
    ids=["nets", "arrays", "a mapper of pixels"],
)
def test_the_library_changes_nothing(code: str) -> None:
    done = run(code)
    assert done["torch"]
    assert VARIABLE not in done["environment"]
    assert not [name for name in done["environment"] if "MALLOC" in name.upper()]
    assert not done["mallopt"]


@pytest.mark.parametrize(
    "code",
    [
        "sys.argv = ['geolulc', '--version']\nfrom geolulc.cli import main\nmain()",
        "import geolulc.cluster.preload",
    ],
    ids=["command", "worker"],
)
def test_a_command_and_its_workers_use_memory_again(code: str) -> None:
    """Before torch is loaded, which reads the variable once."""
    done = run(code)
    assert done["environment"][VARIABLE] == "1"
    assert done["mallopt"] == sys.platform.startswith("linux")
    assert not done["torch"]


def test_the_users_own_choice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from geolulc import process

    monkeypatch.setenv(VARIABLE, "0")
    monkeypatch.setattr(process, "_library", lambda: None)
    process.tune_memory()
    assert os.environ[VARIABLE] == "0"


def test_data_of_other_programs_are_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of PostGIS, QGIS or conda are of other versions than the wheels'."""
    from geolulc import process

    for variable in ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA"):
        monkeypatch.setenv(variable, "/nonexistent")
    process.confine_gdal()
    import rasterio

    if (Path(rasterio.__file__).parent / "proj_data").is_dir():
        assert not {"PROJ_LIB", "PROJ_DATA", "GDAL_DATA"} & os.environ.keys()
