"""Models that come with geolulc: ``models/`` in the repository, ``shipped_models`` in a wheel."""

from __future__ import annotations

from pathlib import Path

from geolulc.errors import CheckpointError


def shipped_models() -> dict[str, Path]:
    """Name → checkpoint of the shipped models, by name."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "shipped_models", package.parent / "models"):
        files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
        if files:
            return {file.stem: file for file in files}
    return {}


def find_shipped(name: str) -> Path | None:
    """The checkpoint of the shipped model called ``name``, if there is one."""
    return shipped_models().get(name)


def shipped_model() -> Path:
    """The model that maps are made with by default: the first shipped one, by name.

    Raises:
        CheckpointError: this installation has none.
    """
    models = shipped_models()
    if not models:
        raise CheckpointError(
            "the shipped model",
            found="none in this installation",
            expected="a checkpoint in models/",
            remedy="Install geolulc again, or name a model.",
        )
    return next(iter(models.values()))
