"""The end of a worker of xdist's."""

import atexit
import os
import sys
from threading import Event

_is_worker = Event()


def at_the_end() -> None:
    """Have this process, a worker, end without Python's shutdown."""
    # That collects a million objects of the libraries, for which the controller waits: 6 s with two
    # workers (load 3). It knows all results already, and looks at no worker's exit code.
    _is_worker.set()


def _leave() -> None:
    if _is_worker.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


# Python calls last what was registered first: the libraries' come before.
atexit.register(_leave)
