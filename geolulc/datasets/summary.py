"""A summary of a store, and the check that its bytes are those that were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from datadings.tools import hash_md5hex, load_md5file

from geolulc.datasets import layout
from geolulc.datasets.layout import RECORDS_FILE
from geolulc.datasets.store import open_store
from geolulc.domain import KEY
from geolulc.errors import DatasetError
from geolulc.staging import file_sha256

_AS_IN_MANIFEST: Final = ("patches", "left_out", "broken", "archives")


def describe_store(path: str | Path, verify: bool = False) -> dict[str, Any]:
    """A JSON-able summary of a store.

    Args:
        path: the store.
        verify: read every byte and compare checksums; adds ``"verified": True``.

    Raises:
        DatasetError: not a store; with ``verify``, files whose bytes are not those written.
    """
    store = open_store(path)
    manifest = store.manifest
    classes = manifest["classes"]
    summary: dict[str, Any] = {
        "kind": "store",
        "path": str(path),
        "nomenclature": store.nomenclature.id,
        "level": store.level,
        "sensor": store.layout.sensor.id,
        "patch_size": store.layout.size,
        **{key: manifest[key] for key in _AS_IN_MANIFEST},
        "classes": dict(zip(classes["names"], classes["frequencies"]["train"], strict=True)),
        "touching_training_ground": dict(store.touching_training),
        "train_statistics": manifest["train_statistics"],
        **{key: manifest[key] for key in (KEY, "labelling") if key in manifest},
        "shards": len(manifest["shards"]),
        "bytes": sum(shard["bytes"] for shard in manifest["shards"]),
    }
    if verify:
        if damaged := _find_damage(store.path, manifest):
            raise DatasetError(
                path,
                found=f"{len(damaged)} damaged file(s): {', '.join(damaged)}",
                expected="the bytes that were written",
                remedy="Copy the store again, or prepare it again.",
            )
        summary["verified"] = True
    return summary


def _find_damage(path: Path, manifest: Any) -> list[str]:
    damaged = []
    if file_sha256(path / layout.INDEX_FILE) != manifest["index"]["sha256"]:
        damaged.append(layout.INDEX_FILE)
    for shard in manifest["shards"]:
        folder = path / shard["name"]
        sums_file = folder / f"{RECORDS_FILE}.md5"
        try:
            sums = load_md5file(sums_file)
        except (OSError, ValueError):
            sums = {}
        if sums.get(RECORDS_FILE) != shard["md5"]:
            damaged.append(f"{shard['name']}/{sums_file.name}")
        for name, expected in {**sums, RECORDS_FILE: shard["md5"]}.items():
            file = folder / Path(name).name
            if not file.is_file() or hash_md5hex(file) != expected:
                damaged.append(f"{shard['name']}/{file.name}")
    return damaged
