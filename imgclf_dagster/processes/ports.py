"""TCP ports of the loopback interface: who wants them, who has them."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from errors.base import ImgclfError

HOST = "127.0.0.1"
"""Loopback only: nothing that is started here asks who is calling."""


class PortTaken(ImgclfError, RuntimeError):  # noqa: N818 - what is wrong, not that it is
    """Somebody else listens where one of our programs should; the message says who and what to do."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a program of ours wants, and the setting that names another."""

    number: int
    program: str
    setting: str


def require_free(ports: Sequence[Port]) -> None:
    """Raise PortTaken, naming every one of ``ports`` that is in use or wanted twice."""
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
    """Who listens on a port of this machine, in words."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status != psutil.CONN_LISTEN or connection.pid is None:
                continue
            if connection.laddr and connection.laddr.port == number:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        pass  # not ours to see; saying so is all that can be done
    return "a process that this user may not see"


def _is_free(number: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection of the last run that lingers does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, number))
        except OSError:
            return False
        return True
