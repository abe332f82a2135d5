"""Shards of a store: folders with one datadings file each, written whole or not at all.

datadings writes its index and checksum even when an exception leaves the writer, so a shard is
written in a hidden folder and gets its name by a rename, after everything else of it is on disk.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from datadings.writer import RawWriter

from geolulc.datasets.index import SCHEMA, index_row, read_index, write_index
from geolulc.datasets.layout import RECORDS_FILE, shard_name
from geolulc.datasets.patch import BIGEARTHNET, Patch, PatchLayout
from geolulc.datasets.records import pack_record, pixel_hash
from geolulc.datasets.statistics import BandHistograms
from geolulc.publishing import sync

#: Where, in the folder of a store in the making, shards leave their index and histograms.
PARTS_FOLDER: Final = "parts"
_WRITE_BUFFER: Final = 4 << 20


@dataclass(frozen=True)
class Broken:
    """A patch that could not be stored: ``subject`` is the file or patch, the rest why."""

    name: str
    subject: str
    found: str
    expected: str

    def to_json(self) -> dict[str, str]:
        """For the manifest: without the folders, which differ from machine to machine."""
        file = self.subject.rpartition("/")[2]
        return {"name": self.name, "file": file, "found": self.found, "expected": self.expected}


def write_shard(
    store: Path,
    number: int,
    patches: Iterable[Patch | Broken],
    *,
    skip_broken: bool,
    advance: Callable[[], None],
    layout: PatchLayout = BIGEARTHNET,
) -> tuple[Broken, ...]:
    """Write the shard ``number`` into the folder of a store in the making; its broken patches.

    Args:
        store: the folder.
        number: of the shard, from 0.
        patches: in order, and those that could not be read.
        skip_broken: write the shard without its broken patches; otherwise a shard with broken
            patches is not written, but all its patches are looked at.
        advance: called after each patch.
        layout: of the patches.
    """
    folder = store / shard_name(number)
    partial = store / f".{folder.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    rows: list[dict[str, Any]] = []
    broken: list[Broken] = []
    histograms = BandHistograms(layout.sensor.groups)
    offset = 0
    records = partial / RECORDS_FILE
    with closing(RawWriter(records, _WRITE_BUFFER, overwrite=True, disable=True)) as writer:
        for patch in patches:
            if isinstance(patch, Broken):
                broken.append(patch)
            else:
                record = pack_record(patch)
                writer.write(patch.key, record)
                digest, size = pixel_hash(patch.dn.values()), len(record)
                rows.append(
                    index_row(patch, shard=number, offset=offset, size=size, pixel_hash=digest)
                )
                offset += size
                if patch.split == "train":
                    histograms.add(patch.dn)
            advance()
    if skip_broken or not broken:
        _write_parts(store / PARTS_FOLDER, number, rows, broken, histograms)
        for file in (*partial.iterdir(), partial):
            sync(file)
        partial.rename(folder)
        sync(store)
    else:
        shutil.rmtree(partial)
    return tuple(broken)


def _write_parts(
    folder: Path,
    number: int,
    rows: list[dict[str, Any]],
    broken: list[Broken],
    histograms: BandHistograms,
) -> None:
    write_index(folder / f"{number}.parquet", pa.Table.from_pylist(rows, schema=SCHEMA))
    places, counts = histograms.sparse()
    np.savez(folder / f"{number}.npz", places=places, counts=counts)
    plain = [asdict(b) for b in broken]
    (folder / f"{number}.json").write_text(json.dumps(plain), encoding="utf-8")
    for suffix in ("parquet", "npz", "json"):
        sync(folder / f"{number}.{suffix}")


def read_parts(
    store: Path, number: int, layout: PatchLayout = BIGEARTHNET
) -> tuple[pa.Table, BandHistograms, tuple[Broken, ...]]:
    """Index, histograms and broken patches of a finished shard."""
    folder = store / PARTS_FOLDER
    table = read_index(folder / f"{number}.parquet")
    with np.load(folder / f"{number}.npz", allow_pickle=False) as sparse:
        histograms = BandHistograms.from_sparse(
            sparse["places"], sparse["counts"], layout.sensor.groups
        )
    plain = json.loads((folder / f"{number}.json").read_text(encoding="utf-8"))
    return table, histograms, tuple(Broken(**fields) for fields in plain)
