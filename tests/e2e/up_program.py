"""``imgclf up`` as a program that runs beside a test."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

REPOSITORY = Path(__file__).parents[2]
PORTS = ("dagster", "endpoint", "predictor", "mlflow")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Up:
    """A running ``imgclf up`` and what it printed so far."""

    def __init__(
        self,
        home: Path,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        more_ports: Sequence[str] = (),
    ) -> None:
        self.home = home
        self.ports = {name: free_port() for name in (*PORTS, *more_ports)}
        ports = {f"IMGCLF_PORTS__{name.upper()}": str(port) for name, port in self.ports.items()}
        given = os.environ if environment is None else environment
        self.process = subprocess.Popen(
            [sys.executable, "-m", "imgclf_dagster.cli.main", "up", *options],
            cwd=REPOSITORY,
            env={**given, **ports, "IMGCLF_HOME": str(home), "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def wait_until_up(self, seconds: float = 180) -> None:
        def settled() -> bool:
            assert self.process.poll() is None, self.said
            return "All up" in self.said

        wait_for(settled, seconds, lambda: self.said)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def ask(self, query: str) -> Any:
        answer = httpx.post(f"{self.url('dagster')}/graphql", json={"query": query}, timeout=30)
        return answer.json()["data"]

    def end(self) -> None:
        """Whatever the test came to."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(15)


def wait_for(condition: Callable[[], object], seconds: float, what: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)
