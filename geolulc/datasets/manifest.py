"""The manifest of a store: counts, classes, statistics and checksums, as one JSON file.

It holds no time and no path, so the same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from datadings.tools import load_md5file
from numpy.typing import NDArray

from geolulc.bands import GROUPS
from geolulc.datasets.patch import SPLITS
from geolulc.datasets.shards import RECORDS_FILE, shard_name
from geolulc.errors import DatasetError
from geolulc.nomenclature import Nomenclature

FORMAT: Final = "geolulc-store"
FORMAT_VERSION: Final = 1
MANIFEST_FILE: Final = "manifest.json"
INDEX_FILE: Final = "index.parquet"
_LONGEST_MANIFEST: Final = 256 << 20


def multi_hot(table: pa.Table, nomenclature: Nomenclature) -> NDArray[np.uint8]:
    """uint8 (patches, classes): 1 where a patch has the class; from the column of label names.

    ``DatasetError`` where a name is not of the nomenclature.
    """
    column = table.column(nomenclature.id).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    names = column.flatten()
    classes = pa.array(nomenclature.names, pa.string())
    position = pa.compute.index_in(names, value_set=classes)
    if position.null_count:
        unknown = names.filter(pa.compute.is_null(position))[0].as_py()
        raise DatasetError(
            "store",
            found=f"the label {unknown!r} in its index",
            expected=f"names of the nomenclature {nomenclature.id}",
            remedy="Prepare the store again.",
        )
    lengths = pa.compute.fill_null(pa.compute.list_value_length(column), 0).to_numpy()
    hot = np.zeros((len(column), len(nomenclature)), np.uint8)
    hot[np.repeat(np.arange(len(column)), lengths), position.to_numpy()] = 1
    return hot


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


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest into a store's folder."""
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def read_manifest(store: Path) -> dict[str, Any]:
    """The manifest of a store; ``DatasetError`` where there is none or it is broken."""
    path = store / MANIFEST_FILE
    if not path.is_file():
        what = "no such folder" if not store.exists() else f"no {MANIFEST_FILE} in it"
        raise DatasetError(
            store,
            found=what if store.is_dir() or not store.exists() else "a file",
            expected="the folder of a store",
            remedy="Make one with geolulc prepare.",
        )
    try:
        with path.open("rb") as stream:
            manifest = json.loads(stream.read(_LONGEST_MANIFEST))
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise ValueError(f"not of the format {FORMAT}")
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(
            path,
            found=f"a manifest that cannot be read ({error})",
            expected="the manifest of a geolulc store",
            remedy="Prepare the store again.",
        ) from error
    if manifest.get("version") != FORMAT_VERSION:
        raise DatasetError(
            path,
            found=f"a store of format version {manifest.get('version')}",
            expected=f"version {FORMAT_VERSION}",
            remedy="Prepare the store again with this version of geolulc.",
        )
    return manifest
