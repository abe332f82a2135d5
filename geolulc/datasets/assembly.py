"""From finished shards to a store: index, manifest, and the name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from geolulc.datasets import layout
from geolulc.datasets import manifest as manifests
from geolulc.datasets.index import IndexWriter, multi_hot, with_classes
from geolulc.datasets.shards import PARTS_FOLDER, Broken, read_parts
from geolulc.datasets.statistics import BandHistograms
from geolulc.errors import DatasetError
from geolulc.nomenclature import nomenclature
from geolulc.staging import sync

#: Beside a store: where the old one lies until the new one has its name.
REPLACED: Final = ".{}.replaced"


@contextmanager
def _frugal_allocation() -> Iterator[None]:
    """Arrow's own allocator keeps 30 MB of what 16,000 patches' rows take 4 MB of at a time."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


@_frugal_allocation()
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

    Raises:
        DatasetError: there is no patch in any shard.
    """
    classes = nomenclature(nomenclature_id)
    histograms = BandHistograms()
    tables: list[pa.Table] = []
    broken: list[Broken] = []
    index = folder / layout.INDEX_FILE
    with IndexWriter(index) as writer:
        for number in range(shard_count):
            rows, of_shard, of_broken = read_parts(folder, number)
            rows = with_classes(rows, classes)
            writer.write(rows)
            # a tenth of a row: at 590,326 patches the difference is 700 MB
            tables.append(rows.select(manifests.COLUMNS).combine_chunks())
            broken += of_broken
            histograms.merge(of_shard)
    table = pa.concat_tables(tables)
    if not len(table):
        raise DatasetError(
            "archive",
            found=f"not one whole patch ({len(broken)} broken)",
            expected="at least one",
            remedy="Look at what is wrong with them: run without --skip-broken.",
        )
    hot = multi_hot(table.column("classes").to_numpy(), len(classes))
    statistics = histograms.statistics()
    manifest = {
        "format": layout.FORMAT,
        "version": layout.FORMAT_VERSION,
        "nomenclature": classes.id,
        "bands": manifests.describe_layout(),
        "archives": [dict(archive) for archive in archives],
        "patches": manifests.count_patches(table, hot),
        "left_out": dict(left_out or {}),
        "broken": [b.to_json() for b in broken],
        "classes": manifests.describe_classes(table, hot, classes),
        "train_statistics": {name: s.to_json() for name, s in statistics.items()},
        "shards": manifests.describe_shards(folder, table, shard_count),
        "index": {"bytes": index.stat().st_size, "sha256": manifests.file_sha256(index)},
    }
    layout.write_manifest(folder, manifest)
    for file in (index, folder / layout.MANIFEST_FILE):
        sync(file)
    return manifest


def publish_store(folder: Path, out: Path) -> None:
    """Give a completed store its name; what is there goes only when the new one is complete."""
    old = out.with_name(REPLACED.format(out.name))
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    folder.rename(out)
    sync(out.parent)
    shutil.rmtree(out / PARTS_FOLDER)
    shutil.rmtree(old, ignore_errors=True)
