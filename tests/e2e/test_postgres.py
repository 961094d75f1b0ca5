"""Code server and daemon as ECS runs them, on a real Postgres that is restarted under them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.instance.ref import InstanceRef

from imgclf_dagster.deployment import dagster_yaml
from tests.e2e.conftest import Imgclf
from tests.testbed.postgres import Postgres, running_postgres

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PATIENCE_S = 120


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Orchestrator:
    """The programs of a home whose instance is the one of AWS, but for what needs AWS."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.home = home / "dagster"
        self.environment = {**environment, "DAGSTER_HOME": str(self.home)}
        self.port = free_port()
        self._processes = ExitStack()

    def __enter__(self) -> "Orchestrator":
        configuration = yaml.safe_load(dagster_yaml("aws"))
        for part in ("run_launcher", "compute_logs"):
            del configuration[part]
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(configuration))
        workspace = (files("imgclf_dagster.deployment") / "workspace-aws.yaml").read_text()
        (self.home / "workspace.yaml").write_text(workspace.replace("4000", str(self.port)))
        self.environment["IMGCLF_CODE_HOST"] = "127.0.0.1"
        self.code = self._start(
            "dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(self.port),
            "-m", "imgclf_dagster.definitions",
        )  # fmt: skip
        self.daemon = self._start("dagster._daemon", "run", "-w", str(self.home / "workspace.yaml"))
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.close()

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = self._processes.enter_context((self.home / f"{module}.log").open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=self.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

        def stop() -> None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

        self._processes.callback(stop)
        return process

    def said(self) -> str:
        """The ends of the logs; what a failing assertion should show."""
        return "\n".join(path.read_text()[-3000:] for path in sorted(self.home.glob("*.log")))


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


def test_the_daemon_goes_on_after_a_restart_of_the_database(
    imgclf: Imgclf,
    colours: Callable[..., Path],
    fast: dict[str, str],
    tmp_path: Path,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So few images that the line stops before training.
    imgclf.settings = fast
    assert imgclf("ingest", colours(tmp_path / "first", 2)).code == 0
    database = postgres.database()
    for name, value in database.items():
        monkeypatch.setenv(name, value)
    environment = imgclf.environment(**database)

    with Orchestrator(imgclf.home, environment) as programs:

        def indexed() -> int:
            with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(programs.home))) as instance:
                event = instance.get_latest_materialization_event(dg.AssetKey("raw_images"))
            found = event and event.asset_materialization
            return int(found.metadata["images"].value) if found else 0

        def wait_for_more_than(images: int) -> None:
            deadline = time.monotonic() + PATIENCE_S
            while indexed() <= images:
                assert programs.daemon.poll() is None, programs.said()
                assert programs.code.poll() is None, programs.said()
                assert time.monotonic() < deadline, f"{indexed()} images; {programs.said()}"
                time.sleep(1)

        wait_for_more_than(0)
        before = indexed()
        postgres.stop()
        # Long enough for ticks and heartbeats to miss it.
        time.sleep(12)
        postgres.start()
        shutil.copytree(colours(tmp_path / "second", 3), imgclf.home / "store" / "raw" / "second")
        wait_for_more_than(before)
