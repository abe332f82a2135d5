"""The manifest of a store: counts, classes, statistics and checksums.

It holds no time and no path, so the same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datadings.tools import load_md5file
from numpy.typing import NDArray

from geolulc.bands import GROUPS
from geolulc.datasets.layout import RECORDS_FILE, shard_name
from geolulc.datasets.patch import SPLITS
from geolulc.nomenclature import Nomenclature

#: What the counts need of an index.
COLUMNS: Final = (
    "key", "shard", "classes", "dataset", "split", "country", "season", "v1_name", "has_reference",
)  # fmt: skip


def describe_shards(store: Path, table: pa.Table, shard_count: int) -> list[dict[str, Any]]:
    """Name, number of records, size and MD5 (datadings' own) of each shard's records."""
    counts = np.bincount(table.column("shard").to_numpy(), minlength=shard_count)
    shards = []
    for number in range(shard_count):
        file = store / shard_name(number) / RECORDS_FILE
        shards.append(
            {
                "name": shard_name(number),
                "records": int(counts[number]),
                "bytes": file.stat().st_size,
                "md5": load_md5file(file.with_name(f"{file.name}.md5"))[file.name],
            }
        )
    return shards


def count_patches(table: pa.Table, hot: NDArray[np.uint8]) -> dict[str, Any]:
    """How many patches there are, by split, country, season and version, and without a class."""

    def by(column: str, empty: str) -> dict[str, int]:
        counts = pc.value_counts(_text(table, column)).to_pylist()
        return dict(sorted((item["values"] or empty, item["counts"]) for item in counts))

    return {
        "total": len(table),
        "by_split": by("split", "none"),
        "by_country": by("country", "unknown"),
        "by_season": by("season", "unknown"),
        "by_dataset": by("dataset", "unknown"),
        "without_class": int((hot.sum(axis=1) == 0).sum()),
        "with_reference_map": pc.sum(table.column("has_reference")).as_py(),
        "shared_ground": _shared_ground(table),
    }


def _text(table: pa.Table, column: str) -> pa.ChunkedArray:
    return table.column(column).cast(pa.string())


def _shared_ground(table: pa.Table) -> dict[str, int]:
    """Pairs of a v2 patch and the v1 patch on the same ground, in the same split and not."""
    if table.column("v1_name").null_count == len(table):
        return {"same_split": 0, "different_splits": 0}
    split = pc.fill_null(_text(table, "split"), "none")
    twin = pc.index_in(table.column("v1_name"), value_set=table.column("key"), skip_nulls=True)
    found = pc.is_valid(twin)
    same = pc.equal(split.filter(found), split.take(twin.filter(found)))
    pairs, alike = pc.sum(found).as_py(), pc.sum(same).as_py() or 0
    return {"same_split": alike, "different_splits": pairs - alike}


def describe_classes(
    table: pa.Table, hot: NDArray[np.uint8], nomenclature: Nomenclature
) -> dict[str, Any]:
    """Class names in order, frequencies by split, co-occurrence (counts) in the train split."""
    split = pc.fill_null(_text(table, "split"), "none")
    of = {name: hot[pc.equal(split, name).to_numpy()] for name in (*SPLITS, "none")}
    train = of["train"].astype(np.float32)  # exact up to 2²⁴ patches; BLAS is fast
    return {
        "names": list(nomenclature.names),
        "frequencies": {name: part.sum(axis=0, dtype=int).tolist() for name, part in of.items()},
        "train_cooccurrence": (train.T @ train).astype(int).tolist(),
    }


def describe_layout() -> dict[str, Any]:
    """How pixels lie in a record."""
    return {f"b{resolution}": list(names) for resolution, names in GROUPS.items()}


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
