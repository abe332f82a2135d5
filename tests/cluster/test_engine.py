"""Items on real schedulers and workers, which are killed, stopped, too old and unreachable."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from made_work import Noting

import geolulc
from geolulc.cluster.connection import CONNECT_SECONDS, local_cluster, running_cluster
from geolulc.cluster.engine import run_items
from geolulc.errors import CheckpointError, ClusterError, ParameterError, ProductError

TESTS = Path(__file__).parents[1]


def wait_for(what: Callable[[], object], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def process(*arguments: object) -> Iterator[subprocess.Popen]:
    environment = os.environ | {
        "PYTHONPATH": f"{TESTS}:{TESTS.parent}",
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
    }
    with tempfile.TemporaryFile() as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "dask", *map(str, arguments)],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


@contextmanager
def scheduler() -> Iterator[tuple[str, subprocess.Popen]]:
    """A scheduler that gives a task up with its first worker."""
    port = free_port()
    with process("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard") as started:
        yield f"tcp://127.0.0.1:{port}", started


def worker(address: str, folder: Path, *options: object):
    return process(
        *("worker", address, "--nthreads", 1, "--no-dashboard", "--local-directory", folder),
        *options,
    )


@pytest.fixture(scope="module")
def client():
    with local_cluster(2, retries=2) as client:
        yield client


def test_items_come_back_with_what_was_told(client, tmp_path, caplog):
    work = Noting(tmp_path)
    items = [f"item{i}" for i in range(150)] + ["bad one", "warn me"]
    answers = dict(run_items(client, work, items))
    assert sorted(answers) == list(range(152))
    assert answers[3].result == "ITEM3"
    assert isinstance(answers[150].error, ProductError)
    assert answers[150].error.subject == "bad one"
    assert caplog.messages == ["warn me is strange"]
    assert work.noted("prepared") <= 2, "once a worker"
    assert work.noted("item7") == 1


def test_nobody_else_can_reach_it(client):
    """A scheduler and its workers run what they are sent."""
    wait_for(lambda: len(client.nthreads()) == 2)
    own = psutil.Process()
    processes = (own, *own.children(recursive=True))
    ports = [c.laddr for process in processes for c in process.net_connections("tcp")]
    assert ports == [], "nothing listens where all may connect"
    address = client.scheduler.address.removeprefix("unix://")
    folder, _, number = address.rpartition(":")
    assert Path(folder).stat().st_mode & 0o777 == 0o700
    sockets = {c.laddr for process in processes for c in process.net_connections("unix")}
    assert {f"{folder}/{number}"} < {name for name in sockets if name.startswith(folder)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_is_refused(client):
    file = client.scheduler.address.removeprefix("unix://").replace(":", "/")
    code = "import os, socket; os.setuid({}); socket.socket(socket.AF_UNIX).connect({!r})"
    same, other = (
        subprocess.run(
            [sys.executable, "-c", code.format(user, file)], capture_output=True, text=True
        )
        for user in (0, 65534)
    )
    assert (same.returncode, same.stderr) == (0, "")
    assert "PermissionError" in other.stderr


@pytest.mark.parametrize(("workers", "room"), [(0, ""), (1000, "1 to"), (-1, "")])
def test_more_workers_than_there_is_room_for(workers, room):
    with pytest.raises(ParameterError, match=f"workers: found {workers}; expected {room}"):
        local_cluster(workers).__enter__()


def test_a_machine_without_locks_or_sockets(monkeypatch, tmp_path):
    """A read-only /dev/shm: Dask itself would wait for ever."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "from geolulc.cluster.connection import local_cluster\n"
        "local_cluster(1).__enter__()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "workers on this machine: found [Errno 27] File too large" in done.stderr
    deep = tmp_path / ("deep" * 30)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(ClusterError, match=r"found AF_UNIX path too long; .*TMPDIR"):
        local_cluster(1).__enter__()
    assert list(deep.iterdir()) == []


def test_few_are_in_flight(client, tmp_path):
    work = Noting(tmp_path)
    answers = run_items(client, work, [f"item{i}" for i in range(500)])
    for _ in range(20):
        next(answers)
    assert len(client.futures) <= 64
    answers.close()
    wait_for(lambda: not client.futures)
    assert len(list(tmp_path.iterdir())) < 100


def test_lost_workers(client, tmp_path):
    """One that kills its worker once is done; one that kills each is given up; others go on."""
    work = Noting(tmp_path)
    items = ["item0", "kill once", "kill always", "item1", "item2", "item3"]
    answers = {items[n]: answer for n, answer in run_items(client, work, items, retries=1)}
    assert len(answers) == len(items)
    assert answers["kill once"].result == "KILL ONCE"
    error = answers["kill always"].error
    assert isinstance(error, ClusterError)
    assert error.found == "2 workers lost with it"
    assert [work.noted(f"item{i}") for i in range(4)] == [1, 1, 1, 1], "done ones are not redone"
    assert work.noted("kill once") == work.noted("kill always") == 2


def test_what_cannot_be_prepared_stops_the_run(client, tmp_path):
    with pytest.raises(CheckpointError, match="Put it there"):
        list(run_items(client, Noting(tmp_path, sound=False), ["item0", "item1"]))


def test_a_run_that_is_left_stops_at_the_next_step(client, tmp_path):
    work = Noting(tmp_path)
    answers = run_items(client, work, ["item0", "slow one"])
    next(answers)
    wait_for(lambda: work.noted("slow one"))
    answers.close()
    wait_for(lambda: work.noted("ended slow one"), 5.0)


def test_a_running_cluster(tmp_path):
    """Its own patience with lost workers is not ours; its workers may be of another kind."""
    work = Noting(tmp_path)
    with scheduler() as (address, itself), running_cluster(address) as client:
        old = tmp_path / "old.py"
        old.write_text("import geolulc\ngeolulc.__version__ = '0.0.1'\n")
        with (
            worker(address, tmp_path, "--preload", old),
            pytest.raises(ClusterError, match=rf"geolulc 0\.0\.1; expected.*{geolulc.__version__}"),
        ):
            list(run_items(client, work, ["item0"]))
        none = tmp_path / "none.py"
        none.write_text("import sys\nsys.modules['geolulc'] = None\n")
        with (
            worker(address, tmp_path, "--preload", none),
            pytest.raises(ClusterError, match="no such geolulc"),
        ):
            list(run_items(client, work, ["item0"]))
        # two: one that is killed while it starts is not started again by its nanny
        with worker(address, tmp_path), worker(address, tmp_path):
            answers = dict(run_items(client, work, ["kill once", "item1", "item2"]))
            assert {answer.result for answer in answers.values()} == {"KILL ONCE", "ITEM1", "ITEM2"}
            answers = run_items(client, work, ["slow one"])

            def lose() -> None:
                wait_for(lambda: work.noted("slow one"))
                itself.send_signal(signal.SIGKILL)

            losing = threading.Thread(target=lose)
            losing.start()
            with pytest.raises(ClusterError, match="it is gone"):
                list(answers)
            losing.join()


def test_workers_that_end_before_they_begin_are_one_line(tmp_path):
    """Of this machine they are started again each time: that is told, and not waited for."""
    over = threading.Event()

    def end_all(client) -> None:
        while not over.wait(0.1):
            for nanny in list(client.cluster.workers.values()):
                if nanny.pid:
                    with suppress(ProcessLookupError):
                        os.kill(nanny.pid, signal.SIGKILL)

    with local_cluster(1) as client:
        ending = threading.Thread(target=end_all, args=(client,))
        wait_for(lambda: client.cluster.workers)
        ending.start()
        try:
            wait_for(lambda: not client.nthreads())
            with pytest.raises(ClusterError, match=r"this machine: found \d+ that ended"):
                list(run_items(client, Noting(tmp_path), ["item0"]))
        finally:
            over.set()
            ending.join()
    assert not Noting(tmp_path).noted("ITEM0")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{port}", "abacus://x:1", "127.0.0.1"])
def test_no_scheduler(address, caplog):
    began = time.monotonic()
    with (
        pytest.raises(ClusterError, match=r"found no answer"),
        running_cluster(address.format(port=free_port())),
    ):
        pass
    assert time.monotonic() - began < 15
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_scheduler_of_tls_wants_certificates():
    with pytest.raises(ClusterError, match=r"no certificate of the client.*distributed\.comm\.tls"):
        running_cluster("tls://127.0.0.1:8786").__enter__()


ANSWERS = {
    "silent": None,
    "closing": b"",
    "of the web": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "of zeros": bytes(64),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_another_program_at_the_port(answer):
    """Told in one line, and within ten seconds, though it may keep the connection for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    kept.append(server.accept()[0])
                    if answer is not None:
                        kept[-1].sendall(answer)
                        kept[-1].shutdown(socket.SHUT_RDWR)

        kept: list[socket.socket] = []
        serving = threading.Thread(target=serve)
        serving.start()
        code = (
            "from geolulc.cluster.connection import running_cluster\n"
            f"running_cluster('tcp://127.0.0.1:{server.getsockname()[1]}').__enter__()"
        )
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert time.monotonic() - began < CONNECT_SECONDS + 10, "and the process ends"
        server.shutdown(socket.SHUT_RDWR)
        serving.join()
        for connection in kept:
            connection.close()
    last = done.stderr.splitlines()[-1]
    assert last.startswith("geolulc.errors.ClusterError: scheduler tcp://127.0.0.1:")
    assert "found no answer (" in last
    assert "Exception ignored" not in done.stderr
