"""Models that come with geolulc: ``models/`` in the repository, ``shipped_models`` in a wheel."""

from __future__ import annotations

from pathlib import Path

from geolulc.bands import RESOLUTIONS
from geolulc.errors import CheckpointError
from geolulc.nets.checkpoint_settings import find_settings


def shipped_models() -> dict[str, Path]:
    """Name → checkpoint of the shipped models, by name."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "shipped_models", package.parent / "models"):
        files = folder.glob("*.safetensors") if folder.is_dir() else ()
        if found := {file.stem: file for file in files}:
            return dict(sorted(found.items()))
    return {}


def find_shipped(name: str) -> Path | None:
    """The checkpoint of the shipped model called ``name``, if there is one."""
    return shipped_models().get(name)


def named_file(source: Path | str) -> Path:
    """The path ``source``; where nothing lies there, the shipped model of this name, if any."""
    given = Path(source)
    return given if given.exists() else find_shipped(str(source)) or given


def shipped_model(resolution: int | None = None) -> Path:
    """The model that maps are made with by default: the first shipped one of its task, by name.

    Args:
        resolution: of the map in metres; 10, 20 or 60 asks for a model of pixels, anything else for
            one of patches.

    Raises:
        CheckpointError: this installation has none.
    """
    task = "pixel" if resolution in RESOLUTIONS else "patch"
    for file in shipped_models().values():
        settings = find_settings(file)
        if settings is not None and settings.config.task == task:
            return file
    raise CheckpointError(
        "the shipped model",
        found=f"none of the task {task} in this installation",
        expected="a checkpoint in models/",
        remedy="Install geolulc again, or name a model.",
    )
