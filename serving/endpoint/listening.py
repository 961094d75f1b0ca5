"""Sockets and uvicorn settings of all servers: endpoint host, SageMaker container, labelling backend."""

import argparse
import socket

import uvicorn
from starlette.types import ASGIApp

from guard.connections import BoundedProtocol

MAX_PORT = 65535

_SHUTDOWN_S = 5
_BACKLOG = 2048
_KEEP_ALIVE_S = 75
"""Longer than clients keep a connection (httpx: 5 s), so that none is closed while it is reused."""


def port_number(text: str) -> int:
    """Parse a port for argparse; 0 is any free one.

    Raises:
        argparse.ArgumentTypeError: it is no port.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= MAX_PORT):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no port; give 0 to {MAX_PORT}")
    return int(text)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening IPv4 socket at ``host`` and ``port``; port 0 takes any free one.

    Raises:
        OSError: the address is taken or not available.
    """
    listener = socket.socket(socket.AF_INET, proto=socket.IPPROTO_TCP)
    # Passed on to every connection. Without it an answer waits 40 ms for the client's next ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)  # clients may connect at once
    except OSError:
        listener.close()
        raise
    return listener


def server_config(app: ASGIApp) -> uvicorn.Config:
    """Return uvicorn's settings for ``app``; logging is left to the program."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
