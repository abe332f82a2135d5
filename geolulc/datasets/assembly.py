"""From finished shards to a store: index, manifest, and the name."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from geolulc.datasets import manifest as manifests
from geolulc.datasets.index import write_index
from geolulc.datasets.shards import PARTS_FOLDER, Broken, read_parts, sync
from geolulc.datasets.statistics import BandHistograms
from geolulc.nomenclature import nomenclature


def complete_store(
    folder: Path,
    shard_count: int,
    nomenclature_id: str,
    *,
    archives: Sequence[Mapping[str, Any]] = (),
    left_out: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Write index and manifest of the shards in ``folder``; the manifest.

    Args:
        folder: the store in the making, with shards 0 … ``shard_count`` - 1.
        shard_count: number of shards.
        nomenclature_id: of the targets.
        archives: where the patches come from, for the manifest.
        left_out: reason → number of patches left out, for the manifest.
    """
    classes = nomenclature(nomenclature_id)
    histograms = BandHistograms()
    tables: list[pa.Table] = []
    broken: list[Broken] = []
    for number in range(shard_count):
        table, of_shard, of_broken = read_parts(folder, number)
        tables.append(table)
        broken += of_broken
        histograms.merge(of_shard)
    table = pa.concat_tables(tables)
    index = folder / manifests.INDEX_FILE
    write_index(index, table)
    hot = manifests.multi_hot(table, classes)
    statistics = histograms.statistics()
    manifest = {
        "format": manifests.FORMAT,
        "version": manifests.FORMAT_VERSION,
        "nomenclature": classes.id,
        "bands": manifests.describe_layout(),
        "archives": [dict(archive) for archive in archives],
        "patches": manifests.count_patches(table, hot),
        "left_out": dict(left_out or {}),
        "broken": [asdict(b) for b in broken],
        "classes": manifests.describe_classes(table, hot, classes),
        "train_statistics": {name: s.to_json() for name, s in statistics.items()},
        "shards": manifests.describe_shards(folder, table, shard_count),
        "index": {"bytes": index.stat().st_size, "sha256": manifests.file_sha256(index)},
    }
    manifests.write_manifest(folder, manifest)
    for file in (index, folder / manifests.MANIFEST_FILE):
        sync(file)
    return manifest


def publish_store(folder: Path, out: Path) -> None:
    """Give a completed store its name; what is there goes only when the new one is complete."""
    shutil.rmtree(folder / PARTS_FOLDER)
    sync(folder)
    if out.exists():
        old = out.parent / f".{out.name}.replaced"
        shutil.rmtree(old, ignore_errors=True)
        out.rename(old)
        folder.rename(out)
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    else:
        folder.rename(out)
    sync(out.parent)
