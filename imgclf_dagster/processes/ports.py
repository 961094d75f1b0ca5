"""TCP ports of the loopback interface: which are free, and which process has one."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from errors.base import ImgclfError

HOST = "127.0.0.1"
"""Loopback only, because the programs started here have no authentication."""


class PortTaken(ImgclfError, RuntimeError):
    """A port of our programs is in use; the message names the process and the remedy."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port that one of our programs needs.

    Attributes:
        number: TCP port.
        program: the program, for messages.
        setting: the setting that chooses the port.
    """

    number: int
    program: str
    setting: str


def require_free(ports: Sequence[Port]) -> None:
    """Make sure that ports are free and different from one another.

    Raises:
        PortTaken: some are not; the message names them all.
    """
    problems = []
    wanted: dict[int, Port] = {}
    for port in ports:
        other = wanted.setdefault(port.number, port)
        if other is not port:
            problems.append(
                f"port {port.number} is set for both {other.program} and {port.program}; "
                f"set {port.setting} or {other.setting} to another"
            )
        elif not _is_free(port.number):
            problems.append(
                f"port {port.number}, wanted for {port.program}, is taken by {owner(port.number)}; "
                f"end that, or set {port.setting} to another port"
            )
    if problems:
        raise PortTaken("\n".join(problems))


def owner(number: int) -> str:
    """Return the name and pid of the process that listens on a port, as text."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status != psutil.CONN_LISTEN or connection.pid is None:
                continue
            if connection.laddr and connection.laddr.port == number:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        pass  # the user lacks the permission to see it
    return "a process that this user may not see"


def _is_free(number: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do, so that connections in TIME_WAIT do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, number))
        except OSError:
            return False
        return True
