"""Starts an endpoint host for the duration of a block if none is running."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from errors.base import ImgclfError
from serving.endpoint.address import HOST_RUNS_ALREADY, read_address

_POLL_S = 0.1
_STOP_S = 8.0


class HostNotStarted(ImgclfError, RuntimeError):
    """The endpoint host did not start; the message has the end of its log."""


@contextmanager
def own_host(
    *,
    store_url: str,
    project: str,
    address_file: Path,
    log_file: Path,
    start_timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Ensure that a host runs at ``address_file`` while the block lasts.

    If none is running, one is started on any free port; it is stopped at the end, and exits by
    itself if this process is killed.

    Args:
        store_url: the store that it serves.
        project: endpoints are ``<project>-<stage>``.
        address_file: the host writes its address into it.
        log_file: gets its output.
        start_timeout_s: seconds within which it has to listen.
        environment: its environment variables, added to those of this process.

    Raises:
        HostNotStarted: it exited, or took too long.
    """
    if read_address(address_file):
        yield
        return
    options = {
        "--store-url": store_url,
        "--project": project,
        "--port": "0",
        "--address-file": str(address_file),
        "--parent": str(os.getpid()),
    }
    command = [
        sys.executable,
        "-m",
        "serving",
        *(part for item in options.items() for part in item),
    ]
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait(process, address_file, log_file, start_timeout_s)
        yield
    finally:
        _stop(process)


def _wait(
    process: "subprocess.Popen[bytes]", address_file: Path, log_file: Path, timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    while read_address(address_file) is None:
        # If another host was faster, its address will be there in a moment.
        if process.poll() not in (None, HOST_RUNS_ALREADY):
            last = log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
            raise HostNotStarted("the endpoint host does not start: " + "\n".join(last))
        if time.monotonic() > deadline:
            raise HostNotStarted(
                f"the endpoint host does not listen after {timeout_s:g} s; its log: {log_file}"
            )
        time.sleep(_POLL_S)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
