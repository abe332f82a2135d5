"""BigEarthNet archives → a store.

The work is cut into shards. Each is written by one worker in the hidden folder
``.NAME.preparing`` beside the store; a finished shard is never done again, by whichever run. When
all are there, index and manifest follow, and the folder gets the store's name.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from geolulc.datasets import manifest as manifests
from geolulc.datasets.archives import V2, Archive, Entry, open_archive
from geolulc.datasets.index import write_index
from geolulc.datasets.selection import Selection, select
from geolulc.datasets.shards import PARTS_FOLDER, Broken, read_parts, shard_name, sync
from geolulc.datasets.statistics import BandHistograms
from geolulc.datasets.workers import ShardTask, run_tasks
from geolulc.errors import DatasetError, OutputError, ParameterError
from geolulc.nomenclature import nomenclature
from geolulc.staging import require_free

#: Called with (patches done, patches in all).
Progress = Callable[[int, int], None]

_SMALLEST_SHARD: Final = 64
_LARGEST_SHARD: Final = 2048
#: Shards aimed at between these sizes: enough for many workers to share them evenly.
_AIMED_SHARDS: Final = 64
_PLAN_FILE: Final = "plan.json"


@dataclass(frozen=True)
class Lists:
    """Where splits (v1), snow and cloud lists (v1) and metadata (v2) are; None: look for them."""

    splits: Path | None = None
    snow_list: Path | None = None
    cloud_list: Path | None = None
    metadata: Path | None = None


class BrokenPatchesError(DatasetError):
    """Patches that cannot be stored; all are in ``broken``."""

    def __init__(self, broken: Sequence[Broken]) -> None:
        self.broken = tuple(broken)
        first = self.broken[0]
        more = f" and {len(self.broken) - 1} more" if len(self.broken) > 1 else ""
        super().__init__(
            f"{len(self.broken)} broken patch(es)",
            found=f"{first.name}{more} ({first.reason})",
            expected="patches of twelve bands with known labels",
            remedy="Restore them from the archive, or leave them out with --skip-broken.",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return BrokenPatchesError, (self.broken,)


@dataclass(frozen=True)
class _Plan:
    archives: tuple[Archive, ...]
    entries: tuple[tuple[int, Entry], ...] = field(repr=False)
    left_out: dict[str, int]
    shard_size: int

    def shards(self) -> list[tuple[tuple[int, Entry], ...]]:
        """Entries of each shard, shards as even as can be."""
        count = -(-len(self.entries) // self.shard_size)
        edges = [len(self.entries) * i // count for i in range(count + 1)]
        return [self.entries[a:b] for a, b in itertools.pairwise(edges)]


def prepare_store(
    archives: Path | Sequence[Path],
    out: Path,
    *,
    lists: Lists = Lists(),
    selection: Selection = Selection(),  # noqa: B008  (frozen)
    nomenclature_id: str = "ben19",
    reference_maps: bool = False,
    workers: int = 1,
    shard_size: int | None = None,
    skip_broken: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the patches of one or more archives into a store.

    The same input gives the same bytes, whatever the number of workers. A run that was killed is
    taken up where it stopped when it is started again with the same arguments.

    Args:
        archives: folders of BigEarthNet v1 or v2; several go into one store.
        out: the store's folder.
        lists: where splits, snow and cloud lists and metadata are.
        selection: which patches.
        nomenclature_id: "ben19" or "clc43": the classes of the store's targets.
        reference_maps: store the CORINE maps of v2 too.
        workers: processes.
        shard_size: patches a shard, by default 64 to 2048, growing with the archive.
        skip_broken: leave broken patches out and list them in the manifest.
        overwrite: replace ``out``.
        progress: called with (patches done, patches in all).

    Returns:
        The manifest.

    Raises:
        DatasetError: not an archive; lists or metadata missing; a patch twice; broken patches
            (``BrokenPatchesError``) without ``skip_broken``.
        ParameterError: a value that cannot be used.
        OutputError: ``out`` exists or cannot be written, or another run is writing it.
    """
    if workers < 1 or (shard_size is not None and shard_size < 1):
        raise ParameterError(
            "workers, shard size",
            found=f"{workers}, {shard_size}",
            expected="positive numbers",
            remedy="Use 1 or more.",
        )
    classes = nomenclature(nomenclature_id)
    require_free([out], overwrite=overwrite)
    plan = _plan(
        [archives] if isinstance(archives, Path) else archives, lists, selection, shard_size
    )
    if classes.id == "clc43" and any(a.dataset == V2 for a in plan.archives):
        raise ParameterError(
            "nomenclature clc43",
            found="an archive of BigEarthNet v2, which has labels of the 19 classes only",
            expected="ben19 for v2",
            remedy="Use --nomenclature ben19.",
        )
    with _working_folder(out, _fingerprint(plan, classes.id, reference_maps)) as folder:
        _write_shards(folder, plan, reference_maps, workers, skip_broken, progress)
        manifest = _finish(folder, plan, classes.id)
        _publish(folder, out)
    return manifest


def _plan(
    paths: Sequence[Path], lists: Lists, selection: Selection, shard_size: int | None
) -> _Plan:
    archives = tuple(
        open_archive(
            path,
            splits=lists.splits,
            snow_list=lists.snow_list,
            cloud_list=lists.cloud_list,
            metadata=lists.metadata,
        )
        for path in paths
    )
    number_of: dict[str, int] = {}
    for number, archive in enumerate(archives):
        for entry in archive.entries:
            if number_of.setdefault(entry.name, number) != number:
                raise DatasetError(
                    archive.root / entry.folder,
                    found=f"a patch that is in {archives[number_of[entry.name]].root} too",
                    expected="every patch in one archive",
                    remedy="Give each archive once.",
                )
    kept, left_out = select((e for a in archives for e in a.entries), selection)
    entries = tuple((number_of[e.name], e) for e in kept)
    even = -(-len(entries) // _AIMED_SHARDS)
    size = shard_size or min(max(even, _SMALLEST_SHARD), _LARGEST_SHARD)
    return _Plan(archives, entries, left_out, size)


def _fingerprint(plan: _Plan, nomenclature_id: str, reference_maps: bool) -> str:
    digest = hashlib.sha256()
    digest.update(
        json.dumps(
            [
                manifests.FORMAT_VERSION,
                nomenclature_id,
                reference_maps,
                plan.shard_size,
                [str(a.root.resolve()) for a in plan.archives],
            ]
        ).encode()
    )
    for number, entry in plan.entries:
        digest.update(json.dumps([number, asdict(entry)]).encode())
    return digest.hexdigest()


@contextlib.contextmanager
def _working_folder(out: Path, fingerprint: str) -> Iterator[Path]:
    folder = out.parent / f".{out.name}.preparing"
    folder.mkdir(exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OutputError(
                out,
                found="another run that is preparing it",
                expected="one run at a time",
                remedy="Wait for it or give another path.",
            ) from None
        plan_file = folder / _PLAN_FILE
        if not plan_file.is_file() or plan_file.read_text(encoding="utf-8") != fingerprint:
            for leftover in folder.iterdir():
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            (folder / PARTS_FOLDER).mkdir()
            plan_file.write_text(fingerprint, encoding="utf-8")
        try:
            yield folder
        except OSError as error:
            raise OutputError(
                out,
                found=error.strerror or type(error).__name__,
                expected="to write the whole store",
                remedy="Free some space and run the same command again: it goes on from here.",
            ) from error
    finally:
        os.close(lock)


def _write_shards(
    folder: Path,
    plan: _Plan,
    reference_maps: bool,
    workers: int,
    skip_broken: bool,
    progress: Progress | None,
) -> None:
    tasks = []
    done = 0
    for number, entries in enumerate(plan.shards()):
        if (folder / shard_name(number)).is_dir() and not (
            read_parts(folder, number)[2] and not skip_broken
        ):
            done += len(entries)
        else:
            shutil.rmtree(folder / shard_name(number), ignore_errors=True)
            roots = tuple(archive.root for archive in plan.archives)
            tasks.append(ShardTask(folder, number, roots, entries, reference_maps, skip_broken))
    total = len(plan.entries)
    if progress:
        progress(done, total)
    results = run_tasks(tasks, workers, lambda n: progress(done + n, total) if progress else None)
    broken = [b for result in results for b in result.broken]
    if broken and not skip_broken:
        raise BrokenPatchesError(broken)


def _finish(folder: Path, plan: _Plan, nomenclature_id: str) -> dict[str, Any]:
    classes = nomenclature(nomenclature_id)
    histograms = BandHistograms()
    tables: list[pa.Table] = []
    broken: list[Broken] = []
    numbers = list(range(len(plan.shards())))
    for number in numbers:
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
        "archives": [
            {"dataset": a.dataset, "name": a.root.name, "origin": dict(a.origin)}
            for a in plan.archives
        ],
        "patches": manifests.count_patches(table, hot),
        "left_out": plan.left_out,
        "broken": [asdict(b) for b in broken],
        "classes": manifests.describe_classes(table, hot, classes),
        "train_statistics": {name: s.to_json() for name, s in statistics.items()},
        "shards": manifests.describe_shards(folder, table, numbers),
        "index": {"bytes": index.stat().st_size, "sha256": manifests.file_sha256(index)},
    }
    manifests.write_manifest(folder, manifest)
    for file in (index, folder / manifests.MANIFEST_FILE):
        sync(file)
    return manifest


def _publish(folder: Path, out: Path) -> None:
    shutil.rmtree(folder / PARTS_FOLDER)
    (folder / _PLAN_FILE).unlink()
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
