"""``imgclf up`` as a program that runs beside a test."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.patience import WAIT_S, wait_for
from tests.ports import free_port

REPOSITORY = Path(__file__).parents[2]
PORTS = ("dagster", "endpoint", "predictor", "mlflow")


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
            [sys.executable, "-m", "imgclf_dagster.cli.entry", "up", *options],
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
    def output(self) -> str:
        return "".join(self.lines)

    def wait_until_up(self) -> None:
        def settled() -> bool:
            assert self.process.poll() is None, self.output
            return "All up" in self.output

        wait_for(settled, lambda: self.output)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def ask(self, query: str) -> Any:
        answer = httpx.post(f"{self.url('dagster')}/graphql", json={"query": query}, timeout=WAIT_S)
        return answer.json()["data"]

    def end(self) -> None:
        """Whatever the test came to."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(WAIT_S)
