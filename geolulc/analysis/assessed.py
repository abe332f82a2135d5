"""The record of a map's accuracy beside the map: map_accuracy.json, of that very map."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rasterio
import xxhash

from geolulc import __version__
from geolulc.outputs.rasters import without_side_files
from geolulc.staging import write_text


def record_path(map_path: Path) -> Path:
    """Where the record of a map lies."""
    return map_path.with_name(f"{map_path.stem}_accuracy.json")


def write_record(map_path: Path, figures: Mapping[str, Any]) -> Path:
    """Write what ``geolulc assess`` found of a map beside it, in place of an older record.

    Raises:
        OutputError: the folder cannot be written.
    """
    path = record_path(map_path)
    made_by = f"geolulc {__version__}"
    record = {"made_by": made_by, "map_identity": _identity(map_path), **figures}
    write_text(path, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return path


def read_record(map_path: Path) -> dict[str, Any] | None:
    """The figures of a map; None without a record, or with one of another map of this name."""
    try:
        record = json.loads(record_path(map_path).read_text(encoding="utf-8"))
        if record.pop("map_identity") != _identity(map_path):
            return None
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
    return dict(record)


def _identity(map_path: Path) -> str:
    """What a map keeps when it is copied, and shares with no other: its tags and its size."""
    with without_side_files(), rasterio.open(map_path, driver="GTiff") as dataset:
        tags = sorted(dataset.tags().items())
    return xxhash.xxh3_64_hexdigest(f"{map_path.stat().st_size} {tags}".encode())
