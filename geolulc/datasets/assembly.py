"""From finished shards to a store: index, manifest, and the name.

The manifest holds no time and no path, so the same input gives the same bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datadings.tools import load_md5file
from numpy.typing import NDArray

from geolulc.bands import SENTINEL2
from geolulc.datasets import layout as files
from geolulc.datasets.domain import training_domain
from geolulc.datasets.index import IndexWriter, with_classes
from geolulc.datasets.layout import RECORDS_FILE, shard_name
from geolulc.datasets.legend import Legend
from geolulc.datasets.manifest import FORMAT, FORMAT_VERSION
from geolulc.datasets.patch import BIGEARTHNET, SPLITS, PatchLayout
from geolulc.datasets.shards import PARTS_FOLDER, Broken, read_parts
from geolulc.datasets.statistics import BandHistograms
from geolulc.datasets.store import Store
from geolulc.domain import KEY
from geolulc.errors import DatasetError
from geolulc.grid import PATCH_SIZE
from geolulc.nomenclature import Nomenclature
from geolulc.publishing import sync
from geolulc.staging import file_sha256

#: Beside a store: where the old one lies until the new one has its name.
REPLACED: Final = ".{}.replaced"
#: What the counts need of an index.
_COLUMNS: Final = (
    "key", "shard", "dataset", "split", "country", "season", "v1_name", "has_reference",
)  # fmt: skip


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
    legend: Legend,
    *,
    layout: PatchLayout = BIGEARTHNET,
    level: str = "L2A",
    archives: Sequence[Mapping[str, Any]] = (),
    left_out: Mapping[str, int] | None = None,
    labelling: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write index and manifest of the shards in ``folder``; the manifest.

    Args:
        folder: the store in the making, with shards 0 … ``shard_count`` - 1.
        shard_count: number of shards.
        legend: of the targets.
        layout: of the patches.
        level: processing level of the products that patches were cut from: "L1C" or "L2A".
        archives: where the patches come from, for the manifest.
        left_out: reason → number of patches left out, for the manifest.
        labelling: how labels were made, for the manifest (JSON-able); None where they came along.

    Raises:
        DatasetError: there is no patch in any shard.
    """
    classes = legend.nomenclature
    histograms = BandHistograms(layout.sensor.groups)
    tables: list[pa.Table] = []
    targets: list[NDArray[np.uint8]] = []
    broken: list[Broken] = []
    index = folder / files.INDEX_FILE
    with IndexWriter(index) as writer:
        for number in range(shard_count):
            rows, of_shard, of_broken = read_parts(folder, number, layout)
            targets.append(legend.multi_hot(rows.column(legend.column)))
            rows = with_classes(rows, targets[-1])
            writer.write(rows)
            # a tenth of a row: at 590,326 patches the difference is 700 MB
            tables.append(rows.select(_COLUMNS).combine_chunks())
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
    hot = np.concatenate(targets)
    statistics = histograms.statistics()
    manifest = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "nomenclature": classes.as_mapping(),
        "reference_codes": legend.codes,
        "level": level,
        "bands": {f"b{r}": list(names) for r, names in layout.sensor.groups.items()},
        # said of those that are not BigEarthNet's
        **({} if layout.sensor == SENTINEL2 else {"sensor": layout.sensor.as_mapping()}),
        **({} if layout.size == PATCH_SIZE else {"patch_size": layout.size}),
        "archives": [dict(archive) for archive in archives],
        "patches": _count_patches(table, hot),
        "left_out": dict(left_out or {}),
        "broken": [b.to_json() for b in broken],
        "classes": _describe_classes(table, hot, classes),
        "train_statistics": {name: s.to_json() for name, s in statistics.items()},
        "shards": _describe_shards(folder, table, shard_count),
        "index": {"bytes": index.stat().st_size, "sha256": file_sha256(index)},
        **({} if labelling is None else {"labelling": dict(labelling)}),
    }
    files.write_manifest(folder, manifest)
    manifest[KEY] = training_domain(Store(folder)).as_mapping()
    files.write_manifest(folder, manifest)
    for file in (index, folder / files.MANIFEST_FILE):
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


def _describe_shards(store: Path, table: pa.Table, shard_count: int) -> list[dict[str, Any]]:
    """Name, number of records, size and MD5 (datadings' own) of each shard's records."""
    counts = np.bincount(table.column("shard").to_numpy(), minlength=shard_count)
    files = [store / shard_name(number) / RECORDS_FILE for number in range(shard_count)]
    return [
        {
            "name": file.parent.name,
            "records": int(count),
            "bytes": file.stat().st_size,
            "md5": load_md5file(file.with_name(f"{file.name}.md5"))[file.name],
        }
        for file, count in zip(files, counts, strict=True)
    ]


def _count_patches(table: pa.Table, hot: NDArray[np.uint8]) -> dict[str, Any]:
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


def _describe_classes(
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
