"""The command-line option ``--allow-host``."""

import argparse
from collections.abc import Iterable

from guard.hosts import checked_host

OPTION = "--allow-host"


def allow_host_options(hosts: Iterable[str]) -> tuple[str, ...]:
    """Return the command-line options that allow ``hosts``."""
    return tuple(word for host in hosts for word in (OPTION, host))


def add_allow_host(parser: argparse.ArgumentParser) -> None:
    """Add the option to ``parser``; its values are the list ``allow_host``."""
    parser.add_argument(
        OPTION,
        action="append",
        default=[],
        type=_host,
        metavar="NAME",
        help="a host name under which this server is reached, besides loopback's; repeatable",
    )


def _host(text: str) -> str:
    try:
        return checked_host(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
