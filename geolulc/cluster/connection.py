"""A cluster to work on: of processes on this machine, or one that runs already."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from typing import Any, Final

import dask
from distributed import Client, LocalCluster, Security
from distributed.system import MEMORY_LIMIT

from geolulc.cluster import sockets
from geolulc.errors import ClusterError, ParameterError
from geolulc.process import available_cores, blocked_signals

#: A scheduler that does not answer for so long is not there.
CONNECT_SECONDS: Final = 8.0
#: What Dask would say of lost workers is said by us, once, in words of scenes.
_LOGGERS: Final = ("distributed", "tornado", "asyncio")
_NEVER: Final = logging.CRITICAL + 1
#: Of Dask's HTTP, until ``sockets`` closes it; by default it would listen on all interfaces.
_SHORT_LIVED: Final = "127.0.0.1:0"
#: A worker with less memory, in bytes, is ended while it loads torch and a model.
_LEAST_MEMORY: Final = 500e6
#: One of them may write or read while the other computes.
_MOST_A_CORE: Final = 2
#: HTTP has nothing to tell. Of a worker's memory: results are small, so there is nothing to spill,
#: and a worker that holds on to freed memory must not pause for ever; one that needs all it may
#: have is ended.
_SETTINGS: Final = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
}


class _Client(Client):  # type: ignore[misc]
    """Dask's own limit ends with the connection: what listens there may say nothing for ever."""

    def start(self, **arguments: Any) -> None:
        try:
            super().start(callback_timeout=CONNECT_SECONDS, **arguments)
        except BaseException:
            self.status = "closed"  # or Dask waits for it again when Python ends
            self._loop_runner.stop()
            raise


@contextmanager
def local_cluster(workers: int, *, retries: int = 2) -> Iterator[Client]:
    """So many worker processes on this machine, which nobody but their user reaches.

    Args:
        workers: processes, each of which does one item at a time.
        retries: of an item whose worker was lost; the scheduler blames no worker before.

    Raises:
        ParameterError: more workers than the machine has room for.
        ClusterError: this machine does not let processes start, or talk to each other.
    """
    _require_room(workers)
    with _silenced(), dask.config.set(_SETTINGS), ExitStack() as stack:
        try:
            # Dask would wait for ever for processes that have no locks
            multiprocessing.get_context("spawn").Lock()
            folder = stack.enter_context(TemporaryDirectory(prefix="geolulc-"))
            settings = {
                "distributed.scheduler.allowed-failures": retries,
                "temporary-directory": folder,
            }
            stack.enter_context(dask.config.set(settings))
            # in threads that are started now, and in the workers that they start, Ctrl-C does
            # nothing: it is for this process, which stops the others
            with blocked_signals(signal.SIGINT):
                cluster = LocalCluster(
                    n_workers=0,
                    threads_per_worker=1,
                    protocol=sockets.PROTOCOL,
                    host=folder,
                    dashboard_address=_SHORT_LIVED,
                    worker_dashboard_address=_SHORT_LIVED,
                    scheduler_kwargs={"dashboard": False, "preload": [sockets.__name__]},
                    memory_limit=int(MEMORY_LIMIT // workers),
                    silence_logs=_NEVER,
                    preload=[sockets.__name__, "geolulc.cluster.preload"],
                )
            stack.enter_context(cluster)
        except (OSError, RuntimeError) as error:
            raise ClusterError(
                "workers on this machine",
                found=_first_line(error),
                expected="to start processes, and to write into /dev/shm and the temporary folder",
                remedy="Mend that (TMPDIR may name a folder, of a short path), or do without.",
            ) from error
        cluster.scale(workers)
        yield stack.enter_context(Client(cluster, set_as_default=False))


def _require_room(workers: int) -> None:
    most = max(1, min(_MOST_A_CORE * available_cores(), int(MEMORY_LIMIT // _LEAST_MEMORY)))
    if not 1 <= workers <= most:
        raise ParameterError(
            "workers",
            found=workers,
            expected=f"1 to {most} on this machine of {available_cores()} cores and "
            f"{MEMORY_LIMIT / 1e9:.0f} GB",
            remedy="One a core, say.",
        )


@contextmanager
def running_cluster(address: str) -> Iterator[Client]:
    """The cluster whose scheduler listens at ``address``, "tcp://host:8786" or "tls://…".

    Certificates for TLS come from Dask's configuration.

    Raises:
        ClusterError: it does not answer.
    """
    if address.startswith("tls://") and Security().tls_client_cert is None:
        raise ClusterError(
            f"scheduler {address}",
            found="no certificate of the client in Dask's configuration",
            expected="the files of certificate, key and authority",
            remedy="Name them there (distributed.comm.tls), or in DASK_DISTRIBUTED__COMM__TLS__….",
        )
    with _silenced():
        try:
            with warnings.catch_warnings():
                # versions of Dask that differ; of geolulc, workers say it themselves
                warnings.simplefilter("ignore")
                client = _Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except Exception as error:
            # whatever Dask stumbles over in the answer of another program at that port
            raise ClusterError(
                f"scheduler {address}",
                found=f"no answer ({_first_line(error)})",
                expected="a Dask scheduler, at tcp://HOST:PORT or tls://HOST:PORT",
                remedy="Start one with dask scheduler, or use --workers for this machine.",
            ) from None
        with client:
            yield client


def _first_line(error: BaseException) -> str:
    while error.__cause__ is not None:  # Dask's own text says only that it did not start
        error = error.__cause__
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
