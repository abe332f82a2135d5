"""Shards written by several processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import rasterio

from geolulc.datasets.archives import Entry, find_files
from geolulc.datasets.geotiffs import GDAL_OPTIONS, BandFile
from geolulc.datasets.shards import ShardResult, write_shard
from geolulc.errors import DatasetError

_POLL_SECONDS: Final = 0.2


@dataclass(frozen=True)
class ShardTask:
    """One shard to write: ``entries`` are (number of the archive, patch)."""

    store: Path
    number: int
    roots: tuple[Path, ...]
    entries: tuple[tuple[int, Entry], ...] = field(repr=False)
    reference_maps: bool
    skip_broken: bool

    def source(self) -> Iterator[tuple[Entry, Mapping[str, BandFile] | DatasetError]]:
        """Each patch with its files."""
        for archive, entry in self.entries:
            try:
                yield (
                    entry,
                    find_files(self.roots[archive], entry, reference_maps=self.reference_maps),
                )
            except OSError as error:
                yield (
                    entry,
                    DatasetError(
                        self.roots[archive] / entry.folder,
                        found=error.strerror or type(error).__name__,
                        expected="the folder of a patch",
                        remedy="Restore the patch from the archive, or leave it out with "
                        "--skip-broken.",
                    ),
                )

    def write(self, advance: Callable[[], None]) -> ShardResult:
        """Write the shard."""
        with rasterio.Env(**GDAL_OPTIONS):
            return write_shard(
                self.store,
                self.number,
                self.source(),
                skip_broken=self.skip_broken,
                advance=advance,
            )


def run_tasks(
    tasks: Sequence[ShardTask], workers: int, report: Callable[[int], None]
) -> list[ShardResult]:
    """Write all shards; results in the order of ``tasks``.

    Args:
        tasks: the shards.
        workers: processes; with one, everything runs in this one.
        report: called with the number of patches done so far.

    Raises:
        DatasetError: a worker was killed.
    """
    if workers == 1 or len(tasks) <= 1:
        return _run_here(tasks, report)
    # spawn: GDAL and Arrow run threads, which do not survive a fork
    context = multiprocessing.get_context("spawn")
    done = context.Value("q", 0)
    executor = ProcessPoolExecutor(
        min(workers, len(tasks)), context, initializer=_start_worker, initargs=(done,)
    )
    try:
        futures = [executor.submit(_write_in_worker, task) for task in tasks]
        pending = set(futures)
        while pending:
            finished, pending = wait(pending, _POLL_SECONDS, FIRST_EXCEPTION)
            for future in finished:
                future.result()
            report(done.value)
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


def _run_here(tasks: Sequence[ShardTask], report: Callable[[int], None]) -> list[ShardResult]:
    count = 0

    def advance() -> None:
        nonlocal count
        count += 1
        report(count)

    return [task.write(advance) for task in tasks]


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


def _write_in_worker(task: ShardTask) -> ShardResult:
    return task.write(_advance_shared)


def _advance_shared() -> None:
    with _done.get_lock():
        _done.value += 1
