"""Jobs on the workers of a Dask cluster: each worker takes jobs until none is left."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from geolulc.cluster.connection import running_cluster
from geolulc.cluster.engine import run_items
from geolulc.cluster.worker import Attempt
from geolulc.datasets import open_store
from geolulc.errors import OutputError
from geolulc.progress import Progress
from geolulc.transfer.job_folders import JobFolder
from geolulc.transfer.running import Experiment
from geolulc.transfer.workers import Failures, Jobs, still_failed, work

#: A network share shows a new file to other hosts after some seconds.
_VISIBLE_SECONDS: Final = 10.0


@dataclass(frozen=True)
class TransferWork:
    """Jobs of an experiment, which is pickled: a worker opens the store once it sees the folder."""

    experiment: bytes
    folder: Path
    jobs: Jobs

    def prepare(self, threads: int) -> Callable[[int, Attempt], Failures]:
        """A function that does jobs and gives those that failed, with the reasons."""
        until = time.monotonic() + _VISIBLE_SECONDS
        while not (self.folder / "manifest.json").is_file():
            if time.monotonic() > until:
                raise OutputError(
                    self.folder,
                    found="no experiment there, seen from a worker",
                    expected="the folder that the client sees",
                    remedy="Mount it under the same path on every machine.",
                )
            time.sleep(0.2)
        torch.set_num_threads(threads)
        experiment: Experiment = pickle.loads(self.experiment)  # noqa: S301 - our client's

        def do(_: int, attempt: Attempt) -> Failures:
            return work(experiment, self.jobs, progress=lambda done, total: attempt.go_on())

        return do


def work_on_cluster(
    experiment: Experiment, jobs: Jobs, scheduler: str, *, progress: Progress | None = None
) -> Failures:
    """``work`` on the workers of a running cluster, which share a file system with us.

    Jobs are claimed in their folders, as by processes that know nothing of each other. There are
    as many turns as jobs, so that workers that join later get some; turns that find nothing left
    end at once.

    Raises:
        ClusterError: the scheduler does not answer or is lost.
    """
    folder, store = experiment.folder.absolute(), experiment.store.path.absolute()
    travelling = replace(experiment, store=open_store(store), folder=folder)
    shared = TransferWork(pickle.dumps(travelling), folder, jobs)
    failed: Failures = {}
    with running_cluster(scheduler) as client:
        for _, answer in run_items(client, shared, range(len(jobs))):
            failed |= answer.result or {}
            if answer.error is not None:
                raise answer.error
            if progress is not None:
                files = [JobFolder(experiment.folder, job.id).result_file for job in jobs]
                progress(sum(file.is_file() for file in files), len(jobs))
    return still_failed(experiment, jobs, failed)
