"""Processes that take jobs until none is left."""

from __future__ import annotations

import multiprocessing
import signal
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import replace
from typing import Final, NoReturn

import torch

from geolulc.errors import GeolulcError
from geolulc.learning.interruption import TrainingInterrupted, noticed_signals
from geolulc.process import blocked_signals
from geolulc.progress import Progress
from geolulc.transfer.job_folders import JobFolder
from geolulc.transfer.plan import Job
from geolulc.transfer.running import Experiment, run_job

Jobs = tuple[Job, ...]
#: Id of a job that failed, or could not be begun → why.
Failures = dict[str, str]

_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT: Final = 10.0
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


def work(experiment: Experiment, jobs: Jobs, *, progress: Progress | None = None) -> Failures:
    """Do what of ``jobs`` no other process does, and wait for the rest.

    A job that fails is reported and tried no more here; what needs it is not begun.

    Returns:
        Id of each job that failed or could not be begun → why.
    """
    failed: Failures = {}
    open_jobs = [job for job in jobs if JobFolder(experiment.folder, job.id).result() is None]
    done, pause = len(jobs) - len(open_jobs), _WAIT_SECONDS
    while open_jobs:
        left = []
        for job in open_jobs:
            outcome = _attempt(experiment, job, failed)
            if outcome is None:
                left.append(job)
                continue
            if outcome:
                failed[job.id] = outcome
            done += 1
            if progress is not None:
                progress(done, len(jobs))
        if len(left) == len(open_jobs):
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_WAIT)
        else:
            pause = _WAIT_SECONDS
        open_jobs = left
    return failed


def _attempt(experiment: Experiment, job: Job, failed: Failures) -> str | None:
    """ "" for a job that is done, a reason for one that failed, None for one to come back to."""
    folder = JobFolder(experiment.folder, job.id)
    if folder.result() is not None:
        return ""
    if job.needs is not None:
        if job.needs in failed:
            return f"not begun: {job.needs} failed"
        if not JobFolder(experiment.folder, job.needs).result_file.is_file():
            return None
    with folder.claimed() as claim:
        if claim is None:
            return None
        if folder.result() is not None:
            return ""
        try:
            run_job(experiment, job, claim)
        except GeolulcError as error:
            return str(error)
    return ""


def work_together(
    experiment: Experiment, jobs: Jobs, processes: int, *, progress: Progress | None = None
) -> Failures:
    """``work`` in so many processes; with several GPUs and device "auto" each takes its own.

    Raises:
        TrainingInterrupted: a signal came; what was trained is saved, and no process is left.
    """
    if processes == 1:
        return work(experiment, jobs, progress=progress)
    failed: Failures = {}
    # fork would copy torch's threads and a CUDA context
    context = multiprocessing.get_context("spawn")
    with noticed_signals() as signal_number, ProcessPoolExecutor(processes, context) as pool:
        threads = max(torch.get_num_threads() // processes, 1)
        devices = [_device_of(experiment.device, number) for number in range(processes)]
        with blocked_signals(*_STOPPING):
            waiting = {
                pool.submit(_work_alone, replace(experiment, device=device), jobs, threads)
                for device in devices
            }
        while waiting:
            finished, waiting = wait(waiting, _WAIT_SECONDS, FIRST_COMPLETED)
            numbers = [signal_number()]
            for future in finished:
                reasons, number = future.result()
                failed |= reasons
                numbers.append(number)
            if any(numbers):
                for process in multiprocessing.active_children():
                    process.terminate()
                raise TrainingInterrupted(next(filter(None, numbers)), 0, 0)
            if progress is not None and finished:
                done = processes - len(waiting)
                progress(len(jobs) * done // processes, len(jobs))
    return still_failed(experiment, jobs, failed)


def still_failed(experiment: Experiment, jobs: Jobs, failed: Failures) -> Failures:
    """The jobs of ``failed`` without a result: another process may have done one since."""
    return {
        job.id: failed[job.id]
        for job in jobs
        if job.id in failed and JobFolder(experiment.folder, job.id).result() is None
    }


def _device_of(device: str, number: int) -> str:
    if device in ("auto", "cuda") and torch.cuda.device_count() > 1:
        return f"cuda:{number % torch.cuda.device_count()}"
    return device


def _work_alone(experiment: Experiment, jobs: Jobs, threads: int) -> tuple[Failures, int]:
    """Failed jobs, and the signal that came (0 for none): its exception cannot be pickled.

    Until here the process has seen no signal. SIGTERM, which may be waiting, is the pool's.
    """
    torch.set_num_threads(threads)
    try:
        signal.signal(signal.SIGTERM, _stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return work(experiment, jobs), 0
    except TrainingInterrupted as stop:
        return {}, stop.number
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _stop(number: int, _: object) -> NoReturn:
    raise TrainingInterrupted(number, 0, 0)
