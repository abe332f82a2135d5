"""What goes into the manifest of a store: counts, classes, statistics and checksums.

It holds no time and no path, so the same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datadings.tools import load_md5file
from numpy.typing import NDArray

from geolulc.bands import GROUPS
from geolulc.datasets.layout import RECORDS_FILE, shard_name
from geolulc.datasets.patch import SPLITS
from geolulc.nomenclature import Nomenclature


def describe_shards(store: Path, table: pa.Table, shard_count: int) -> list[dict[str, Any]]:
    """Name, number of records, size and MD5 (datadings' own) of each shard's records."""
    counts = Counter(table.column("shard").to_pylist())
    shards = []
    for number in range(shard_count):
        file = store / shard_name(number) / RECORDS_FILE
        shards.append(
            {
                "name": shard_name(number),
                "records": counts[number],
                "bytes": file.stat().st_size,
                "md5": load_md5file(file.with_name(f"{file.name}.md5"))[file.name],
            }
        )
    return shards


def count_patches(table: pa.Table, hot: NDArray[np.uint8]) -> dict[str, Any]:
    """How many patches there are, by split, country, season and version, and without a class."""

    def by(column: str, empty: str) -> dict[str, int]:
        counts = Counter(value or empty for value in table.column(column).to_pylist())
        return dict(sorted(counts.items()))

    return {
        "total": len(table),
        "by_split": by("split", "none"),
        "by_country": by("country", "unknown"),
        "by_season": by("season", "unknown"),
        "by_dataset": by("dataset", "unknown"),
        "without_class": int((hot.sum(axis=1) == 0).sum()),
        "with_reference_map": sum(table.column("has_reference").to_pylist()),
        "shared_ground": _shared_ground(table),
    }


def _shared_ground(table: pa.Table) -> dict[str, int]:
    """Pairs of a v2 patch and the v1 patch on the same ground, in the same split and not."""
    split_of = dict(
        zip(table.column("key").to_pylist(), table.column("split").to_pylist(), strict=True)
    )
    pairs = Counter(
        "same_split" if split_of[v1] == split else "different_splits"
        for v1, split in zip(
            table.column("v1_name").to_pylist(), table.column("split").to_pylist(), strict=True
        )
        if v1 in split_of
    )
    return {kind: pairs[kind] for kind in ("same_split", "different_splits")}


def describe_classes(
    table: pa.Table, hot: NDArray[np.uint8], nomenclature: Nomenclature
) -> dict[str, Any]:
    """Class names in order, frequencies by split, co-occurrence (counts) in the train split."""
    split = np.array([s or "none" for s in table.column("split").to_pylist()], dtype=object)
    of = {name: hot[split == name].astype(np.int64) for name in (*SPLITS, "none")}
    return {
        "names": list(nomenclature.names),
        "frequencies": {name: part.sum(axis=0).tolist() for name, part in of.items()},
        "train_cooccurrence": (of["train"].T @ of["train"]).tolist(),
    }


def describe_layout() -> dict[str, Any]:
    """How pixels lie in a record."""
    return {f"b{resolution}": list(names) for resolution, names in GROUPS.items()}


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
