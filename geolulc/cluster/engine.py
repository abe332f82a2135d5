"""Items through the workers of a cluster: few in flight, lost ones again, answers one by one.

Which item is done where and when is Dask's to decide. What Dask does not know is how often an
item may be begun: its own count (``allowed-failures``) is one number for a whole scheduler, which
need not be ours, and blames items that only waited on a worker that was lost. So attempts are
counted where they begin, in a ledger on the scheduler (``worker``); what Dask gives up earlier is
submitted again.
"""

from __future__ import annotations

import itertools
import logging
import pickle
import queue
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from distributed import Client, Future, KilledWorker

import geolulc
from geolulc.cluster.worker import LEDGERS, WORK, Answer, Stopped, Work, lost
from geolulc.errors import ClusterError

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOG: Final = logging.getLogger(__name__)
#: In flight: enough for a cluster that grows with what waits, few enough to forget.
_LEAST_IN_FLIGHT: Final = 64
_PATIENCE_SECONDS: Final = 10.0
#: The cluster's size is asked for so often.
_SLOTS_SECONDS: Final = 2.0
#: Submitted more often than that, an item was lost before it could be counted.
_MOST_SUBMISSIONS: Final = 20
#: Processes that a worker of this machine may have lost before they began an item: it has no room
#: for them, or ends them as they load.
_MOST_UNBEGUN: Final = 3


def run_items(
    client: Client, work: Work[Item, Result], items: Sequence[Item], *, retries: int = 2
) -> Iterator[tuple[int, Answer[Result]]]:
    """Do ``items`` on the cluster; their numbers and answers, as they come.

    Args:
        client: of the cluster.
        work: what is done.
        items: pickled one by one.
        retries: how often an item is begun again after its worker was lost.

    Raises:
        GeolulcError: a worker is unfit, or the cluster is lost; what else a work raises comes
            as it is. What is in flight is then given up.
    """
    run = uuid.uuid4().hex
    client.set_metadata([LEDGERS, run, WORK], pickle.dumps(work))
    dispatch = _Dispatch(client, run, items, retries)
    try:
        yield from dispatch.answers()
    finally:
        dispatch.cancel()


class _Dispatch:
    def __init__(self, client: Client, run: str, items: Sequence[object], retries: int) -> None:
        self._client, self._run, self._items, self._retries = client, run, items, retries
        self._waiting = iter(range(len(items)))
        self._done: queue.Queue[Future] = queue.Queue()
        self._under_way: dict[Future, int] = {}
        self._submissions: dict[int, int] = {}
        self._serial = itertools.count()
        self._run_item = _by_value()
        self._slots, self._slots_asked = 0, 0.0

    def answers(self) -> Iterator[tuple[int, Answer[Any]]]:
        self._fill()
        watch = _WorkerWatch(self._client)
        while self._under_way:
            try:
                future = self._done.get(timeout=1.0)
            except queue.Empty:
                watch.look(self._begun)
                self._overlooked()
                continue
            number = self._under_way.pop(future, None)
            if number is None:
                continue
            answer = self._answer(future, number)
            future.release()
            if answer is None:
                self._submit(number)
                continue
            self._submissions.pop(number, None)
            self._forget(number)
            watch.advanced()
            if answer.unfit and answer.error is not None:
                raise answer.error
            for text in answer.warnings:
                _LOG.warning("%s", text)
            yield number, answer
            self._fill()

    def _overlooked(self) -> None:
        # a future that is lost and found again while its callback is on the way may have none
        for future in self._under_way:
            if future.status in ("finished", "error", "cancelled"):
                self._done.put(future)

    def cancel(self) -> None:
        """Give up what is in flight and the ledger: running items end at their next step."""
        if self._client.status == "running":
            if self._under_way:
                self._client.cancel(list(self._under_way))
            self._client.set_metadata([LEDGERS, self._run], None)
        self._under_way.clear()

    def _fill(self) -> None:
        if time.monotonic() - self._slots_asked > _SLOTS_SECONDS:
            self._slots, self._slots_asked = _slots(self._client), time.monotonic()
        room = max(_LEAST_IN_FLIGHT, 2 * self._slots) - len(self._under_way)
        for number in itertools.islice(self._waiting, max(0, room)):
            self._submit(number)

    def _submit(self, number: int) -> None:
        self._submissions[number] = self._submissions.get(number, 0) + 1
        future = self._client.submit(
            self._run_item,
            geolulc.__version__,
            self._run,
            number,
            pickle.dumps(self._items[number]),
            self._retries,
            key=f"{type(self).__module__}-{self._run}-{next(self._serial)}",
            pure=False,
        )
        self._under_way[future] = number
        future.add_done_callback(self._done.put)

    def _answer(self, future: Future, number: int) -> Answer[Any] | None:
        """The answer, None where the item is to be submitted again."""
        if future.status == "cancelled":
            raise ClusterError(
                f"scheduler {self._client.scheduler.address}",
                found="it is gone",
                expected="a scheduler until the end",
                remedy="Start one and run the same command again: what is done stays done.",
            )
        try:
            answer: Answer[Any] = future.result()
        except (KilledWorker, Stopped):
            # Stopped: by a worker that lost the scheduler for a while and was given up
            entry = self._client.get_metadata([LEDGERS, self._run, str(number)], None)
            attempts = len((entry or {}).get("attempts", ()))
            if attempts <= self._retries and self._submissions[number] < _MOST_SUBMISSIONS:
                return None
            return Answer(error=lost(self._items[number], max(attempts, 1)))
        except ModuleNotFoundError as error:
            if not str(error.name).startswith("geolulc"):
                raise
            raise ClusterError(
                "a worker",
                found=f"no such geolulc ({error})",
                expected=f"geolulc {geolulc.__version__}, as the client has",
                remedy="Install the same version on every machine.",
            ) from error
        return answer

    def _begun(self) -> set[int]:
        """The processes of this machine that began an item of which there is no answer yet."""
        entries = (
            self._client.get_metadata([LEDGERS, self._run, str(number)], None) or {}
            for number in self._under_way.values()
        )
        return {int(p.rpartition("-")[2]) for e in entries for p in e.get("attempts", ())}

    def _forget(self, number: int) -> None:
        self._client.set_metadata([LEDGERS, self._run, str(number)], None)


class _WorkerWatch:
    """Logs once that there are no workers, so that nobody wonders.

    Workers of this machine are started again as often as they end; that has an end here.
    """

    def __init__(self, client: Client) -> None:
        self._client, self._since, self._warned = client, time.monotonic(), False
        self._seen: set[int] = set()

    def advanced(self) -> None:
        """An item was answered: processes that were lost before do not count any more."""
        self._seen = self._processes()

    def look(self, begun: Callable[[], set[int]]) -> None:
        """Look at the workers; ``begun`` tells the processes that began an item.

        Raises:
            ClusterError: those of this machine end again and again, or are started no more.
        """
        now = self._processes()
        gone, self._seen = self._seen - now, self._seen | now
        if _slots(self._client):
            self._since, self._warned = time.monotonic(), False
        impatient = time.monotonic() - self._since > _PATIENCE_SECONDS
        most = _MOST_UNBEGUN * max(1, len(getattr(self._client.cluster, "worker_spec", ())))
        unbegun = gone - begun() if len(gone) >= most else set()
        if len(unbegun) >= most or (gone and not now and impatient):
            raise ClusterError(
                "workers on this machine",
                found=f"{len(gone)} that ended, and nothing done meanwhile",
                expected="workers that stay",
                remedy="Look at the memory of this machine, or give fewer --workers.",
            )
        if impatient and not self._warned:
            self._warned = True
            _LOG.warning("%s has no workers: waiting", self._client.scheduler.address)

    def _processes(self) -> set[int]:
        """The processes of the workers that this program started."""
        started = getattr(self._client.cluster, "workers", {})
        return {pid for worker in list(started.values()) if (pid := getattr(worker, "pid", None))}


def _by_value() -> Callable[..., Answer[Any]]:
    """``run_item`` for schedulers without geolulc: a nested function is pickled with its code."""

    def run_item(*arguments: Any) -> Any:
        from geolulc.cluster import worker

        return worker.run_item(*arguments)

    return run_item


def _slots(client: Client) -> int:
    """Items that the cluster can do at a time."""
    return sum(client.nthreads().values())
