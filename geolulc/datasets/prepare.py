"""BigEarthNet archives → a store.

The work is cut into shards. Each is written by one worker in the hidden folder
``.NAME.preparing`` beside the store; a finished shard is never done again, by whichever run. When
all are there, index and manifest follow, and the folder gets the store's name.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from geolulc.datasets.archives import Archive, open_archive, open_source
from geolulc.datasets.assembly import REPLACED, complete_store, publish_store
from geolulc.datasets.entries import V2, Entry
from geolulc.datasets.ground import BLOCKS
from geolulc.datasets.layout import shard_name
from geolulc.datasets.legend import Legend
from geolulc.datasets.lists import Lists, find_countries
from geolulc.datasets.manifest import FORMAT_VERSION
from geolulc.datasets.reading import locate_v1
from geolulc.datasets.reference_maps import ReferenceMaps, open_reference_maps
from geolulc.datasets.selection import Selection, select
from geolulc.datasets.shards import PARTS_FOLDER, Broken, read_parts
from geolulc.datasets.tars import ForwardReader, is_plain_tar
from geolulc.datasets.unlabelled import is_source
from geolulc.datasets.workers import PatchSource, ShardTask, run_tasks
from geolulc.errors import DatasetError, ParameterError
from geolulc.nomenclature import nomenclature
from geolulc.ownership import mark, reading
from geolulc.progress import Progress
from geolulc.staging import claimed, explained, require_free

_SMALLEST_SHARD: Final = 64
_LARGEST_SHARD: Final = 2048
#: Shards aimed at between these sizes: enough for many workers to share them evenly.
_AIMED_SHARDS: Final = 64
_PLAN_FILE: Final = "plan.json"
_GOES_ON: Final = "Free some space and run the same command again: it goes on from here."


class BrokenPatchesError(DatasetError):
    """Patches that cannot be stored; all are in ``broken``."""

    def __init__(self, broken: Sequence[Broken]) -> None:
        self.broken = tuple(broken)
        told = self.broken[0]
        if len(self.broken) > 1:
            names = ", ".join(b.name for b in self.broken[:3])
            more = ", …" if len(self.broken) > 3 else ""
            found = f"{len(self.broken)} broken patches: {names}{more}"
            told = Broken("", "archive", found, "patches of twelve bands with known labels")
        super().__init__(
            told.subject,
            found=told.found,
            expected=told.expected,
            remedy="Restore what is broken, or leave it out with --skip-broken.",
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
        """Entries of each shard: of one archive, shards as even as can be."""
        shards = []
        for _, group in itertools.groupby(self.entries, key=lambda e: e[0]):
            entries = tuple(group)
            count = -(-len(entries) // self.shard_size)
            edges = [len(entries) * i // count for i in range(count + 1)]
            shards += [entries[a:b] for a, b in itertools.pairwise(edges)]
        return shards


def prepare_store(
    archives: Path | Sequence[Path],
    out: Path,
    *,
    lists: Lists = Lists(),  # noqa: B008  (frozen)
    selection: Selection = Selection(),  # noqa: B008  (frozen)
    nomenclature_id: str = "ben19",
    reference_maps: bool = False,
    unlabelled: bool = False,
    workers: int = 1,
    shard_size: int | None = None,
    skip_broken: bool = False,
    overwrite: int = 0,
    listing: Progress | None = None,
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
        reference_maps: store the CORINE maps of v2 too, from ``Reference_Maps`` beside the
            archive (a folder, or a tar archive in any of the compressions).
        unlabelled: ``archives`` may be scenes and stacks of GeoTIFFs too, all of one level, whose
            patches have no labels. Their splits are by blocks, as those of archives with
            ``lists.blocks``; beside an archive with lists of splits, they are for training.
        workers: processes. With more than one, a script that calls this needs the usual
            ``if __name__ == "__main__":``.
        shard_size: patches a shard, by default 64 to 2048, growing with the archive.
        skip_broken: leave broken patches out and list them in the manifest.
        overwrite: replace ``out``.
        listing: called with (bytes read, bytes in all) while a tar archive is listed.
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
    paths = [archives] if isinstance(archives, Path) else archives
    with reading(paths):
        require_free([out], overwrite=overwrite, kind="store")
    plan = _plan(_open(paths, lists, unlabelled, listing), selection, shard_size)
    if len({archive.level for archive in plan.archives}) > 1:
        other = next(a for a in plan.archives if a.level != plan.archives[0].level)
        raise DatasetError(
            other.root,
            found=f"Level-{other.level[1:]}",
            expected=f"Level-{plan.archives[0].level[1:]}, as {plan.archives[0].root.name}",
            remedy="Prepare a store of each level.",
        )
    if classes.id == "clc43" and any(a.dataset == V2 for a in plan.archives):
        raise ParameterError(
            "nomenclature clc43",
            found="an archive of BigEarthNet v2, which has labels of the 19 classes only",
            expected="ben19 for v2",
            remedy="Use --nomenclature ben19.",
        )
    with _working_folder(out, _fingerprint(plan, classes.id, reference_maps)) as folder:
        maps = _open_maps(plan, folder) if reference_maps else {}
        _write_shards(folder, plan, maps, workers, skip_broken, progress)
        manifest = complete_store(
            folder,
            len(plan.shards()),
            Legend.of_corine(classes.id),
            level=plan.archives[0].level,
            archives=[
                {
                    "dataset": a.dataset,
                    "name": a.root.name,
                    "origin": dict(a.origin),
                    "listed_but_absent": dict(a.absent),
                }
                for a in plan.archives
            ],
            left_out=plan.left_out,
        )
        publish_store(folder, out)
        (out / _PLAN_FILE).unlink()
    return manifest


def _open(
    paths: Sequence[Path], lists: Lists, unlabelled: bool, listing: Progress | None
) -> list[Archive]:
    sources = [unlabelled and is_source(path) for path in paths]
    split = BLOCKS if lists.blocks or all(sources) else "train"
    return [
        open_source(path, split) if source else open_archive(path, lists, listing)
        for path, source in zip(paths, sources, strict=True)
    ]


def _plan(opened: Sequence[Archive], selection: Selection, shard_size: int | None) -> _Plan:
    wants_countries = selection.countries is not None
    archives = tuple(_with_countries(a) if wants_countries else a for a in opened)
    number_of: dict[str, int] = {}
    for number, archive in enumerate(archives):
        for entry in archive.entries:
            if number_of.setdefault(entry.name, number) != number:
                raise DatasetError(
                    entry.name,
                    found=f"a patch that is in {archives[number_of[entry.name]].root} too",
                    expected="every patch in one archive",
                    remedy="Give each archive once.",
                )
    unknown = sum(archive.unknown for archive in archives)
    if unknown and (selection.keep_snow or selection.keep_cloud):
        raise DatasetError(
            "metadata of BigEarthNet v2",
            found=f"{unknown} patches that they do not know",
            expected="the metadata of those with snow or cloud too, which are to be kept",
            remedy="Put metadata_for_patches_with_snow_cloud_or_shadow.parquet beside the other.",
        )
    kept, left_out = select((e for a in archives for e in a.entries), selection)
    if unknown:
        left_out["without metadata"] = unknown
    entries = tuple((number_of[e.name], e) for e in kept)
    even = -(-len(entries) // _AIMED_SHARDS)
    size = shard_size or min(max(even, _SMALLEST_SHARD), _LARGEST_SHARD)
    return _Plan(archives, entries, left_out, size)


def _with_countries(archive: Archive) -> Archive:
    if archive.dataset == V2:
        return archive
    if archive.root.is_dir():
        entries = tuple(locate_v1(archive.root, entry) for entry in archive.entries)
        return replace(archive, entries=entries)
    countries = find_countries(archive.root)
    if countries is None:
        raise ParameterError(
            "countries",
            found=f"{archive.root}, a tar archive whose countries are not known before it is read",
            expected="a list of countries",
            remedy="Install bigearthnet-common, which has it, or unpack the archive.",
        )
    entries = tuple(replace(e, country=countries.get(e.name)) for e in archive.entries)
    return replace(archive, entries=entries, origin=archive.origin | {"country": "list"})


def _fingerprint(plan: _Plan, nomenclature_id: str, reference_maps: bool) -> str:
    roots = [str(a.root.resolve()) for a in plan.archives]
    options = [FORMAT_VERSION, nomenclature_id, reference_maps, plan.shard_size, roots]
    digest = hashlib.sha256(json.dumps(options).encode())
    for number, entry in plan.entries:
        digest.update(f"{number} {entry!r}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def _working_folder(out: Path, fingerprint: str) -> Iterator[Path]:
    folder = out.parent / f".{out.name}.preparing"
    with claimed(out), explained(out, _GOES_ON):
        emptied = folder, out.with_name(REPLACED.format(out.name))  # without a question
        require_free(emptied, overwrite=True, kind="store")
        folder.mkdir(exist_ok=True)
        plan_file = folder / _PLAN_FILE
        if not plan_file.is_file() or plan_file.read_text(encoding="utf-8") != fingerprint:
            for leftover in folder.iterdir():
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            mark(folder, "store")
            (folder / PARTS_FOLDER).mkdir()
            plan_file.write_text(fingerprint, encoding="utf-8")
        yield folder


def _write_shards(
    folder: Path,
    plan: _Plan,
    maps: Mapping[Path, ReferenceMaps],
    workers: int,
    skip_broken: bool,
    progress: Progress | None,
) -> None:
    shards = plan.shards()
    done = {n for n in range(len(shards)) if _is_done(folder, n, skip_broken)}
    already = sum(len(shards[number]) for number in done)
    total = len(plan.entries)

    def report(count: int) -> None:
        if progress:
            progress(already + count, total)

    def tasks() -> Iterator[ShardTask]:
        with contextlib.ExitStack() as stack:
            forward = {
                archive.root: stack.enter_context(ForwardReader(archive.root))
                for archive in plan.archives
                if archive.is_tar and not is_plain_tar(archive.root)
            }
            for number, entries in enumerate(shards):
                if number not in done:
                    # a shard is of one archive
                    root = plan.archives[entries[0][0]].root
                    of_archive = maps.get(root)
                    sources = tuple(
                        PatchSource(root, e, root, of_archive.place(e.name) if of_archive else None)
                        for _, e in entries
                    )
                    spool = folder / PARTS_FOLDER / f"{number}.spool"
                    sources, temporary = _spool(sources, forward.get(root), spool)
                    yield ShardTask(folder, number, sources, skip_broken, temporary)

    report(0)
    workers = min(workers, max(1, len(shards) - len(done)))
    broken = [b for of_shard in run_tasks(tasks(), workers, report) for b in of_shard]
    if broken and not skip_broken:
        raise BrokenPatchesError(broken)


def _open_maps(plan: _Plan, folder: Path) -> dict[Path, ReferenceMaps]:
    """Root of each v2 archive → its reference maps."""
    return {
        archive.root: open_reference_maps(
            archive.root,
            (entry.name for at, entry in plan.entries if at == number),
            folder / PARTS_FOLDER / f"maps{number}.spool",
        )
        for number, archive in enumerate(plan.archives)
        if archive.dataset == V2
    }


def _is_done(folder: Path, number: int, skip_broken: bool) -> bool:
    shard = folder / shard_name(number)
    if not shard.is_dir():
        return False
    if skip_broken or not read_parts(folder, number)[2]:
        return True
    shutil.rmtree(shard)  # written by a run that was to skip broken patches; this one is not
    return False


def _spool(
    sources: tuple[PatchSource, ...], reader: ForwardReader | None, spool: Path
) -> tuple[tuple[PatchSource, ...], Path | None]:
    """Copy what lies in a compressed archive to ``spool``, and say where it is there."""
    if reader is None:
        return sources, None
    places = reader.copy(
        [s.entry.place for s in sources if isinstance(s.entry.place, tuple)], spool
    )
    moved = [
        replace(source, root=spool, entry=replace(source.entry, place=place))
        for source, place in zip(sources, places, strict=True)
    ]
    return tuple(moved), spool
