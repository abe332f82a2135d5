"""What an installation consists of, and what is wrong with it: for reports of bugs, and helpers.

Each part is looked at by itself, and one that cannot even be loaded is a finding, not an end. So
torch and rasterio are loaded by name here, where any error that they raise can be told.
"""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from packaging.requirements import InvalidRequirement, Requirement

from geolulc import __version__
from geolulc.process import available_cores, physical_memory
from geolulc.safe_texts import one_line

#: GDAL's drivers without which a command fails, and their use.
_DRIVERS: Final = {
    "JP2OpenJPEG": "reads the images of Sentinel-2 products",
    "GTiff": "writes maps",
    "COG": "writes maps",
}
_VECTOR_DRIVERS: Final = {"GPKG": "writes polygons", "GeoJSON": "reads areas"}
#: Variables that have changed what an installation does.
_VARIABLES: Final = (
    "CUDA_VISIBLE_DEVICES", "GDAL_DATA", "GDAL_DRIVER_PATH", "HF_HOME", "HF_HUB_OFFLINE",
    "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "PROJ_DATA", "PROJ_LIB", "PYTHONHOME", "PYTHONPATH",
    "TMPDIR", "XDG_CACHE_HOME",
)  # fmt: skip
#: Extras that no user needs.
_DEVELOPERS: Final = ("test", "bench")
#: Memory in GB below which a whole tile is likely to fail; docs/mapping.md measures 1.8 and 2.4.
_LEAST_MEMORY: Final = 4.0
#: Free space in GB below which an unpacked product or a map of pixels does not fit.
_LEAST_SPACE: Final = 2.0


def diagnose() -> dict[str, Any]:
    """Look at this installation; nothing is changed, and no network is used.

    Returns:
        JSON-able: "geolulc", "python", "packages", "extras", "gdal", "devices", "memory",
        "caches", "models" and "variables", each what was found, and "problems": a list of
        sentences, empty where nothing is wrong.
    """
    problems: list[str] = []

    def look(part: Callable[[list[str]], Any]) -> Any:
        try:
            return part(problems)
        except Exception as error:  # whatever is broken in a library is what is looked for
            name = part.__name__.lstrip("_")
            problems.append(f"{name}: {type(error).__name__}: {one_line(error)}")
            return None

    parts = (_packages, _extras, _gdal, _devices, _memory, _caches, _models)
    found: dict[str, Any] = {"geolulc": __version__, "python": _python()}
    found |= {part.__name__.lstrip("_"): look(part) for part in parts}
    found["variables"] = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return found | {"problems": problems}


def _python() -> dict[str, Any]:
    return {
        "version": platform.python_version(),
        "program": sys.executable,
        "system": platform.platform(),
    }


def _requirements(*, extras: bool) -> dict[str, Requirement]:
    """Name → what geolulc requires of it, or with ``extras`` of what some option needs."""
    found = {}
    for text in metadata.requires("geolulc") or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        of_extra = "extra ==" in (marker := str(requirement.marker or ""))
        if of_extra == extras and not any(f'"{name}"' in marker for name in _DEVELOPERS):
            found[requirement.name] = requirement
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _packages(problems: list[str]) -> dict[str, str | None]:
    found = {}
    for name, requirement in _requirements(extras=False).items():
        found[name] = version = _version(name)
        if version is None:
            problems.append(f"{name} is not installed: pip install '{requirement}'")
        elif not requirement.specifier.contains(version, prereleases=True):
            wrong = f"{name} {version} is not {requirement.specifier}"
            problems.append(f"{wrong}: pip install -U {name}")
    return found


def _extras(_: list[str]) -> dict[str, str]:
    versions = {name: _version(name) for name in _requirements(extras=True)}
    return {name: version for name, version in versions.items() if version is not None}


def _gdal(problems: list[str]) -> dict[str, Any]:
    rasterio, pyogrio = (importlib.import_module(name) for name in ("rasterio", "pyogrio"))
    with rasterio.Env() as env:
        drivers = set(env.drivers())
    vectors = set(pyogrio.list_drivers())
    for names, known in ((_DRIVERS, drivers), (_VECTOR_DRIVERS, vectors)):
        problems += [
            f"GDAL has no driver {n}, which {use}" for n, use in names.items() if n not in known
        ]
    return {
        "version": rasterio.__gdal_version__,
        "proj": rasterio.__proj_version__,
        "of_vectors": ".".join(map(str, pyogrio.__gdal_version__)),
        "drivers": {name: name in drivers | vectors for name in {**_DRIVERS, **_VECTOR_DRIVERS}},
    }


def _devices(_: list[str]) -> dict[str, Any]:
    torch = importlib.import_module("torch")
    cuda = torch.cuda
    gpus = [cuda.get_device_properties(i) for i in range(cuda.device_count())]
    return {
        "cores": available_cores(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "gpus": [f"{gpu.name}, {gpu.total_memory / 1e9:.1f} GB" for gpu in gpus],
        "mps": torch.backends.mps.is_available(),
    }


def _memory(problems: list[str]) -> dict[str, float | None]:
    total, free = physical_memory()
    if total is not None and total / 1e9 < _LEAST_MEMORY:
        problems.append(f"{total / 1e9:.1f} GB of memory: a whole tile may not fit")
    return {name: n and round(n / 1e9, 1) for name, n in (("gb", total), ("free_gb", free))}


def _caches(problems: list[str]) -> dict[str, Any]:
    folders = {"temporary": Path(tempfile.gettempdir()), **_model_caches()}
    return {name: _folder(name, folder, problems) for name, folder in folders.items()}


def _model_caches() -> Mapping[str, Path]:
    dynamic_world = importlib.import_module("geolulc.nets.published_dynamic_world")
    found = {"geolulc": dynamic_world.fetched_dynamic_world().parent}
    if _version("huggingface_hub"):
        found["hub"] = Path(importlib.import_module("huggingface_hub.constants").HF_HUB_CACHE)
    return found


def _folder(name: str, folder: Path, problems: list[str]) -> dict[str, Any]:
    """A folder that is written into: where, whether it is there, and the space that is left."""
    there = next((f for f in (folder, *folder.parents) if f.exists()), folder)
    space = shutil.disk_usage(there).free / 1e9
    if not os.access(there, os.W_OK):
        problems.append(f"the {name} folder {folder} cannot be written to")
    if space < _LEAST_SPACE:
        problems.append(f"{space:.1f} GB are free for the {name} folder {folder}")
    return {"path": str(folder), "exists": folder.is_dir(), "free_gb": round(space, 1)}


def _models(problems: list[str]) -> dict[str, Any]:
    """The models that are here, each opened."""
    catalogue = importlib.import_module("geolulc.nets.catalogue")
    describe_model = importlib.import_module("geolulc.nets").describe_model
    here = [row for row in catalogue.list_models() if row["where"] != "hub"]
    found = {}
    for row in here:
        found[row["name"]] = row["where"]
        if not row["kind"].startswith("encoder"):
            try:
                describe_model(row["name"])
            except Exception as error:
                problems.append(f"model {row['name']}: {one_line(error)}")
    if not any(row["kind"] == "shipped" for row in here):
        problems.append("the shipped model is missing: install geolulc again")
    return found
