"""The code that runs on a worker: it prepares once, then does one item after another.

Task arguments are plain texts and bytes, so that a worker of another version can say so before
it unpickles what it may not know. A ledger of attempts and answers lies on the scheduler, which
outlives workers: a retry knows how often an item was begun, and on which processes.
"""

from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from distributed import Worker, get_worker
from distributed.utils import sync

import geolulc
from geolulc.errors import ClusterError, GeolulcError
from geolulc.staging import this_process

Item = TypeVar("Item")
Result = TypeVar("Result")
Item_ = TypeVar("Item_", contravariant=True)
Result_ = TypeVar("Result_", covariant=True)

#: Under this key of the scheduler's metadata lie the ledgers of all runs.
LEDGERS: Final = "geolulc"
#: Key of the work itself in a ledger; items have their numbers.
WORK: Final = "work"


class Stopped(Exception):
    """The client gave the item up or is gone."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at an item.

    Attributes:
        earlier: the processes ("host-pid") that were lost with it before.
        go_on: to be called now and then; raises ``Stopped`` when nobody waits for it any more.
    """

    earlier: tuple[str, ...]
    go_on: Callable[[], None]


class Work(Protocol[Item_, Result_]):
    """A function of items that is pickled to the workers."""

    def prepare(self, threads: int) -> Callable[[Item_, Attempt], Result_]:
        """The function that does an item; made once a worker, with ``threads`` of its own.

        A ``GeolulcError`` here stops the whole run. If it has a ``close``, that is called when
        the worker gets other work.
        """


@dataclass(frozen=True)
class Answer(Generic[Result]):
    """The ``result`` of an item, or its ``error``.

    ``unfit``: the error is one of the worker, not of the item. ``warnings``: logged meanwhile.
    """

    result: Result | None = None
    error: GeolulcError | None = None
    unfit: bool = False
    warnings: tuple[str, ...] = ()


def run_item(version: str, run: str, number: int, item: bytes, retries: int) -> Answer[Any]:
    """Do one item of a run on this worker.

    Args:
        version: of the client's geolulc.
        run: name of the run, which has a ledger on the scheduler.
        number: of the item.
        item: pickled.
        retries: how often it may be begun again after its worker was lost.

    Raises:
        Stopped: the client is gone.
    """
    worker = get_worker()
    if version != geolulc.__version__:
        return _unfit(
            ClusterError(
                f"worker {worker.address}",
                found=f"geolulc {geolulc.__version__}",
                expected=f"geolulc {version}, as the client has",
                remedy="Install the same version on every machine.",
            )
        )
    ledger = Ledger(worker, run, number)
    entry = ledger.read()
    if entry.get("answer") is not None:
        # finished, but its worker was lost before the client had the answer
        answer: Answer[Any] = pickle.loads(entry["answer"])  # noqa: S301 - our own, of this run
        return answer
    earlier = tuple(entry.get("attempts", ()))
    if len(earlier) > retries:
        return Answer(error=lost(pickle.loads(item), len(earlier)))  # noqa: S301 - likewise
    # before anything that could take the worker down
    ledger.write({"attempts": [*earlier, this_process()]})
    key = worker.get_current_task()
    with ExitStack() as stack:
        try:
            do = stack.enter_context(_PREPARED.borrowed(worker, run))
        except GeolulcError as error:
            return _unfit(error)
        warnings = stack.enter_context(_listening())
        try:
            attempt = Attempt(earlier, lambda: _require_wanted(worker, key))
            answer = Answer(do(pickle.loads(item), attempt))  # noqa: S301 - likewise
        except GeolulcError as error:
            answer = Answer(error=error)
    answer = Answer(answer.result, answer.error, warnings=tuple(warnings))
    ledger.write({"answer": pickle.dumps(answer)})
    return answer


def lost(item: object, times: int) -> ClusterError:
    """The error of an item whose workers did not come back."""
    return ClusterError(
        item,
        found=f"{times} workers lost with it",
        expected="a worker that finishes it",
        remedy="Look at the memory of the workers; give --retries for workers that come and go.",
    )


class Ledger:
    """The entry of an item on the scheduler."""

    def __init__(self, worker: Worker, run: str, number: int) -> None:
        self._worker, self._keys = worker, [LEDGERS, run, str(number)]

    def read(self) -> Mapping[str, Any]:
        """The entry of the item: its "attempts" and "answer"."""
        found = sync(
            self._worker.loop,
            self._worker.scheduler.get_metadata,
            keys=self._keys,
            default=None,
        )
        return found if isinstance(found, dict) else {}

    def write(self, entry: Mapping[str, Any]) -> None:
        """Replace the entry."""
        sync(
            self._worker.loop,
            self._worker.scheduler.set_metadata,
            keys=self._keys,
            value=dict(entry),
        )


def _unfit(error: GeolulcError) -> Answer[Any]:
    return Answer(error=error, unfit=True)


def _require_wanted(worker: Worker, key: str) -> None:
    # a task that the scheduler has let go of, for its client is gone or has cancelled it
    task = worker.state.tasks.get(key)
    if task is None or task.state == "cancelled":
        raise Stopped(key)


class _Cache:
    """The functions prepared on this worker, of one work only, so that memory does not grow.

    One function for each item that the worker does at a time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run, self._pickled = "", b""
        self._work: Work[Any, Any] | None = None
        self._free: list[Callable[[Any, Attempt], Any]] = []

    @contextmanager
    def borrowed(self, worker: Worker, run: str) -> Iterator[Callable[[Any, Attempt], Any]]:
        """A function that does items of ``run``, prepared where none is to spare."""
        with self._lock:
            if run != self._run or self._work is None:
                self._load(worker, run)
            free, work = self._free, self._work
            if not free and work is not None:
                # threads that other items of this process leave
                free.append(work.prepare(max(1, _cores() // worker.state.nthreads)))
            function = free.pop()
        try:
            yield function
        finally:
            free.append(function)

    def _load(self, worker: Worker, run: str) -> None:
        keys = [LEDGERS, run, WORK]
        pickled = sync(worker.loop, worker.scheduler.get_metadata, keys=keys, default=None)
        if not isinstance(pickled, bytes):
            raise Stopped(run)
        if pickled != self._pickled:
            for function in self._free:
                getattr(function, "close", lambda: None)()
            self._pickled, self._free = pickled, []
            self._work = pickle.loads(pickled)  # noqa: S301 - what our own client sent
        self._run = run


_PREPARED: Final = _Cache()


def _cores() -> int:
    from dask.system import CPU_COUNT  # knows of affinity and of the limits of containers

    return int(CPU_COUNT)


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Collects what geolulc logs meanwhile, for the client, not for this worker's stderr."""
    logger, listener = logging.getLogger("geolulc"), _Listener()
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield listener.messages
    finally:
        logger.propagate = True
        logger.removeHandler(listener)
