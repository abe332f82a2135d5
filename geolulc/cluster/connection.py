"""A cluster to work on: of processes on this machine, or one that runs already."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Final

import dask
from distributed import Client, LocalCluster
from distributed.system import MEMORY_LIMIT

from geolulc.errors import ClusterError, ParameterError

#: A scheduler that does not answer for so long is not there.
CONNECT_SECONDS: Final = 8
#: What Dask would say of lost workers is said by us, once, in words of scenes.
_LOGGERS: Final = ("distributed", "tornado", "asyncio")
_NEVER: Final = logging.CRITICAL + 1
#: Of a worker's memory: results are small, so there is nothing to spill, and a worker that holds
#: on to freed memory must not pause for ever; one that needs all it may have is ended.
_MEMORY: Final = {
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
}


@contextmanager
def local_cluster(workers: int, *, retries: int = 2) -> Iterator[Client]:
    """So many worker processes on this machine; the scheduler listens on this machine only.

    Args:
        workers: processes, each of which does one item at a time.
        retries: of an item whose worker was lost; the scheduler blames no worker before.
    """
    if workers < 1:
        raise ParameterError(
            "workers", found=workers, expected="at least 1", remedy="One a core, say."
        )
    settings = {**_MEMORY, "distributed.scheduler.allowed-failures": retries}
    # in threads that are started now, and in the workers that they start, Ctrl-C does nothing:
    # it is for this process, which stops the others
    with _silenced(), dask.config.set(settings):
        with _sigint_blocked():
            cluster = LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                host="127.0.0.1",
                # no dashboard, and what else HTTP offers on this machine only: None would be
                # port 8787 on all interfaces
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                memory_limit=int(MEMORY_LIMIT // workers),
                silence_logs=_NEVER,
                preload=["geolulc.cluster.preload"],
            )
        with cluster:
            cluster.scale(workers)
            with Client(cluster, set_as_default=False) as client:
                yield client


@contextmanager
def running_cluster(address: str) -> Iterator[Client]:
    """The cluster whose scheduler listens at ``address``, "tcp://host:8786" or "tls://…".

    Certificates for TLS come from Dask's configuration.

    Raises:
        ClusterError: it does not answer.
    """
    with _silenced():
        try:
            with warnings.catch_warnings():
                # versions of Dask that differ; of geolulc, workers say it themselves
                warnings.simplefilter("ignore")
                client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise ClusterError(
                f"scheduler {address}",
                found=f"no answer ({_first_line(error)})",
                expected="a Dask scheduler, at tcp://HOST:PORT or tls://HOST:PORT",
                remedy="Start one with dask scheduler, or use --workers for this machine.",
            ) from None
        with client:
            yield client


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def _silenced() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    # Dask gives some of its loggers levels of their own
    loggers += [
        logger
        for name, logger in list(logging.Logger.manager.loggerDict.items())
        if name.startswith("distributed.") and isinstance(logger, logging.Logger)
    ]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(_NEVER)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Threads started meanwhile, and the processes that they start, do not see SIGINT."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # it lets SIGINT through again in the thread that starts it, so it must be there already
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
