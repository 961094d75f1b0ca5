"""Ports of loopback for the servers that tests start."""

import os
import random
import socket
import threading
from collections.abc import Iterator

# Below the ports that the kernel gives to connections and to servers that ask for any (from 32768
# on Linux, 49152 on macOS): one of those would take a port between its choice and its use.
_FIRST, _END = 10_000, 32_000


def _numbers() -> Iterator[int]:
    """Every port of the range once, in an order of this process's own."""
    numbers = list(range(_FIRST, _END))
    random.Random(os.getpid()).shuffle(numbers)
    yield from numbers


_next = _numbers()
_lock = threading.Lock()


def free_port() -> int:
    """A port of loopback that nobody listens at, and that this process has not had before."""
    with _lock:
        for number in _next:
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", number))
                except OSError:
                    continue
                return number
    raise AssertionError(f"no port from {_FIRST} to {_END} is left")
