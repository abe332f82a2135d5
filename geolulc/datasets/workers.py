"""Shards written by several processes."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import rasterio

from geolulc.datasets.entries import Entry
from geolulc.datasets.geotiffs import GDAL_OPTIONS, BandFile
from geolulc.datasets.patch import Patch
from geolulc.datasets.reading import find_files, read_patch
from geolulc.datasets.reference_maps import MapPlace
from geolulc.datasets.shards import Broken, write_shard
from geolulc.datasets.tars import read_members
from geolulc.datasets.unlabelled import UNLABELLED_DATASET, read_patches
from geolulc.errors import DatasetError

_POLL_SECONDS: Final = 0.2
#: Tasks handed out per worker: one to write and one to go on with. Each may hold a file.
_TASKS_A_WORKER: Final = 2


@dataclass(frozen=True)
class PatchSource:
    """Where a patch's files are: in ``root``, a folder or a plain tar; see ``Entry.place``.

    ``archive`` is where the archive itself is; ``reference``, where its reference map is.
    """

    root: Path
    entry: Entry
    archive: Path
    reference: MapPlace | None = None

    def find_files(self) -> dict[str, BandFile]:
        """Role → file; ``DatasetError`` or ``OSError`` where they cannot be found."""
        if isinstance(self.entry.place, str):
            files = find_files(self.root, self.entry)
        else:
            start, stop = self.entry.place
            files = read_members(self.root, self.entry.name, start, stop)
        files.pop("reference", None)
        if self.reference and (reference := self.reference.file(self.entry.name)):
            files["reference"] = reference
        return files

    def locate(self, subject: str) -> str:
        """Path of a file of this patch that is called ``subject``, or of the patch itself."""
        if "/" in subject:
            return subject
        if isinstance(self.entry.place, str):
            folder = self.archive / self.entry.place
            return str(folder if subject == self.entry.name else folder / subject)
        return f"{self.archive}/{subject}"


@dataclass(frozen=True)
class ShardTask:
    """One shard to write. ``temporary`` is removed when that is done."""

    store: Path
    number: int
    sources: tuple[PatchSource, ...] = field(repr=False)
    skip_broken: bool
    temporary: Path | None = None

    def patches(self) -> Iterator[Patch | Broken]:
        """Each patch, or why it is broken."""
        if self.sources[0].entry.dataset == UNLABELLED_DATASET:
            yield from read_patches(self.sources[0].root, [s.entry for s in self.sources])
            return
        for source in self.sources:
            name = source.entry.name
            try:
                patch: Patch | Broken = read_patch(source.entry, source.find_files())
            except DatasetError as error:
                patch = Broken(name, source.locate(error.subject), error.found, error.expected)
            except OSError as error:
                found = error.strerror or type(error).__name__
                patch = Broken(name, source.locate(name), found, "the files of a patch")
            yield patch

    def write(self, advance: Callable[[], None]) -> tuple[Broken, ...]:
        """Write the shard; its broken patches."""
        patches, skip_broken = self.patches(), self.skip_broken
        with rasterio.Env(**GDAL_OPTIONS):
            broken = write_shard(
                self.store, self.number, patches, skip_broken=skip_broken, advance=advance
            )
        if self.temporary:
            self.temporary.unlink()
        return broken


def run_tasks(
    tasks: Iterable[ShardTask], workers: int, report: Callable[[int], None]
) -> list[tuple[Broken, ...]]:
    """Write all shards; broken patches of each of ``tasks``, asked for as workers are free.

    Args:
        tasks: the shards.
        workers: processes; with one, everything runs in this one.
        report: called with the number of patches done so far.

    Raises:
        DatasetError: a worker was killed.
    """
    if workers == 1:
        count = itertools.count(1)
        return [task.write(lambda: report(next(count))) for task in tasks]
    context = _context()
    done = context.Value("q", 0)
    executor = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(done,))
    futures: list[Future[tuple[Broken, ...]]] = []
    pending: set[Future[tuple[Broken, ...]]] = set()
    try:
        for task in tasks:
            pending = _wait(pending, workers * _TASKS_A_WORKER - 1, lambda: report(done.value))
            futures.append(executor.submit(_write_in_worker, task))
            pending.add(futures[-1])
        _wait(pending, 0, lambda: report(done.value))
        return [future.result() for future in futures]
    except BrokenProcessPool:
        raise DatasetError(
            "a worker",
            found="it was killed (out of memory?)",
            expected="workers that live until all is done",
            remedy="Run the same command again with fewer --workers: it goes on from here.",
        ) from None
    finally:
        executor.shutdown(cancel_futures=True)


def _context() -> Any:
    # no fork of this process: GDAL and Arrow run threads, which do not survive it
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _wait(
    pending: set[Future[tuple[Broken, ...]]], most: int, report: Callable[[], None]
) -> set[Future[tuple[Broken, ...]]]:
    while len(pending) > most:
        finished, pending = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
        for future in finished:
            future.result()
        report()
    return pending


_done: Any = None


def _start_worker(done: Any) -> None:
    global _done
    _done = done
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    # a worker that outlived a killed parent would write into the next run's folder
    if parent := multiprocessing.parent_process():
        with contextlib.suppress(Exception):
            parent.join()
        os._exit(1)


def _write_in_worker(task: ShardTask) -> tuple[Broken, ...]:
    return task.write(_advance_shared)


def _advance_shared() -> None:
    with _done.get_lock():
        _done.value += 1
