"""What the command sets in its own process and its workers; a library import changes nothing.

Of GDAL: its data, and that it uses no network. Of memory: how the C library keeps what is free;
glibc only, elsewhere nothing happens. Of signals: who sees them.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import importlib.util
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

#: Of glibc's malloc.h.
_M_MMAP_THRESHOLD: Final = -3
_M_TRIM_THRESHOLD: Final = -1
#: https://gdal.org/user/configoptions.html and https://proj.org/usage/network.html
_OFFLINE: Final = {
    "GDAL_HTTP_PROXY": "off://geolulc.uses.no.network",
    "GDAL_HTTPS_PROXY": "off://geolulc.uses.no.network",
    # the one address that GDAL's file systems of the network may open
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
    "PROJ_NETWORK": "OFF",
}


def confine_gdal() -> None:
    """Have GDAL and PROJ use the data of their own version, and no network.

    Wheels bring such data; those of PostGIS, QGIS or conda, which the environment may name, would
    break them. For that, call it before either is loaded.

    A file of a stranger can name addresses: of images (VRT, WMS), features (WFS), schemas, a CRS.
    Of what GDAL asks for, libcurl gets a proxy that it refuses, whatever driver asks. Where an
    address needs none, by the variable no_proxy, it would go there: so C's environment, which
    libcurl reads, loses that; Python's own, which downloads models, keeps it.
    """
    found = importlib.util.find_spec("rasterio")
    if found is not None and Path(str(found.origin)).with_name("proj_data").is_dir():
        for variable in ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA"):
            os.environ.pop(variable, None)
    os.environ |= _OFFLINE
    for variable in ("no_proxy", "NO_PROXY"):
        os.unsetenv(variable)


def tune_memory() -> None:
    """Let windows of pixel models use memory again; for a whole process, when it starts.

    By itself glibc takes what is larger than 128 KiB from the system and gives it back, until it
    has seen larger blocks freed, and cuts what is free at the end of a heap: every window pays for
    its pages anew. Larger blocks than those of a window still go back at once. See mallopt(3).

    torch looks at the variable at its first large tensor, and then asks for huge pages: windows
    then cause fewer page faults.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    library = _library()
    if hasattr(library, "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, 24 * 2**20)
        library.mallopt(_M_TRIM_THRESHOLD, 32 * 2**20)


def give_back_memory() -> None:
    """Return what is free to the system, for another part of the program. See malloc_trim(3).

    Objects that only point at one another are free too: a traced network is such a circle.
    """
    gc.collect()
    library = _library()
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


@functools.cache
def _library() -> Any:
    try:
        return ctypes.CDLL("libc.so.6")
    except OSError:
        return None


def available_cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def physical_memory() -> tuple[int | None, int | None]:
    """Bytes of memory of this machine, and of it free for programs; None where it is not told."""
    told = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            name, value = line.split()[:2]
            told[name.rstrip(":")] = int(value) * 1024
    total = told.get("MemTotal")
    if total is None and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", ()):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return total, told.get("MemAvailable")


@contextmanager
def blocked_signals(*numbers: signal.Signals) -> Iterator[None]:
    """Threads started meanwhile, and the processes that they start, do not see these signals.

    Those of a terminal go to all processes of a command: the first tells the others.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    from multiprocessing import resource_tracker

    # it lets SIGINT through again in the thread that starts it, so it must be there already
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Terminated(SystemExit):
    """SIGTERM came: the command unwinds as after Ctrl-C, and exits with 143 (128 + 15)."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


@contextmanager
def unwound_by_sigterm() -> Iterator[None]:
    """SIGTERM raises ``Terminated`` in the main thread meanwhile; a second one ends it at once.

    So nothing incomplete is left, and no worker without its master. Where it was ignored, or has
    another handler, nothing changes.
    """
    before = signal.getsignal(signal.SIGTERM)
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or before is not signal.SIG_DFL:
        yield
        return
    owner = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != owner:  # a forked child has nothing to unwind
            os.kill(os.getpid(), number)
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
