"""How a store lies on the disk: names of its files, and its manifest.

STORE/manifest.json              counts, classes, statistics, checksums
STORE/index.parquet              one row a patch
STORE/shard-00000/patches.msgpack   records, and beside it datadings' own files
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from geolulc.datasets.manifest import FORMAT, FORMAT_VERSION, find_fault
from geolulc.errors import DatasetError

MANIFEST_FILE: Final = "manifest.json"
INDEX_FILE: Final = "index.parquet"
#: The datadings file in a shard's folder.
RECORDS_FILE: Final = "patches.msgpack"
_LONGEST_MANIFEST: Final = 256 << 20


def shard_name(number: int) -> str:
    """Name of a shard's folder."""
    return f"shard-{number:05d}"


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest into a store's folder."""
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def read_manifest(store: Path) -> dict[str, Any]:
    """The manifest of a store; ``DatasetError`` where there is none or it is broken."""
    path = store / MANIFEST_FILE
    if not path.is_file():
        found = f"no {MANIFEST_FILE} in it" if store.is_dir() else "a file"
        raise DatasetError(
            store,
            found=found if store.exists() else "no such folder",
            expected="the folder of a store",
            remedy="Make one with geolulc prepare.",
        )
    try:
        with path.open("rb") as stream:
            text = stream.read(_LONGEST_MANIFEST)
        manifest = json.loads(text)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise ValueError(f"not of the format {FORMAT}")
        version = manifest.get("version")
        if version == FORMAT_VERSION and (fault := find_fault(text)):
            raise ValueError(fault)
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(
            path,
            found=f"a manifest that cannot be read ({error})",
            expected="the manifest of a geolulc store",
            remedy="Prepare the store again.",
        ) from error
    if version != FORMAT_VERSION:
        raise DatasetError(
            path,
            found=f"a store of format version {version}",
            expected=f"version {FORMAT_VERSION}",
            remedy="Prepare the store again with this version of geolulc.",
        )
    return manifest
