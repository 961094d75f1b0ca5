"""A real Label Studio for a benchmark, as ``imgclf up --label-studio`` starts it."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import BenchmarkFailed

START_S = 180.0


@contextmanager
def running_label_studio(folder: Path) -> Iterator[tuple[str, str]]:
    """Start a new server with its data in ``folder``; yield its URL and token, and stop it at the
    end.

    It uses the user's installation, which is made if there is none.

    Raises:
        LabelStudioNotInstalled: there is no installation, and it cannot be made.
        BenchmarkFailed: the server does not start.
    """
    from imgclf_dagster.label_studio.install import install
    from imgclf_dagster.label_studio.server import Server

    installation = install()
    files = folder / "files"
    files.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = Server(folder / "label-studio", files, port)
    server.prepare(installation)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("IMGCLF_", "LABEL_STUDIO_"))}
    log = folder / "label-studio.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            server.command(installation),
            env=kept | server.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        healthy, deadline = server.healthy(), time.monotonic() + START_S
        while not healthy():
            if process.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise BenchmarkFailed(f"Label Studio does not start:\n{last}")
            time.sleep(0.1)
        yield server.url, server.token()
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
