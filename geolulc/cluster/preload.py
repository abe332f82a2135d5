"""Loaded by the worker processes that we start.

Dask's log is not for the user's terminal, and Ctrl-C there is for the client, which stops them.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading

from geolulc.process import confine_gdal, tune_memory

confine_gdal()
tune_memory()
for _name in ("distributed", "tornado", "asyncio"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)
for _name, _logger in list(logging.Logger.manager.loggerDict.items()):
    if _name.startswith("distributed.") and isinstance(_logger, logging.Logger):
        _logger.setLevel(logging.CRITICAL + 1)
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def dask_setup(_: object) -> None:
    """Have a worker that is stopped leave at once.

    Were its threads still in torch while Python ends, C++ would say "terminate called" on the
    user's terminal.
    """
    atexit.register(os._exit, 0)
