"""Code server and daemon as ECS runs them, on a real Postgres that is restarted under them."""

import json
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
from typing import Any

import dagster as dg
import httpx
import pytest
import yaml
from cfnlint.decode import decode
from dagster._core.instance.ref import InstanceRef

from imgclf_dagster.deployment import dagster_yaml
from tests.e2e.conftest import Imgclf
from tests.testbed.postgres import Postgres, running_postgres

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PATIENCE_S = 120
REPOSITORY = Path(__file__).parents[2]


def template(name: str) -> dict[str, Any]:
    """Properties of a template's resources, with CloudFormation's functions as dicts."""
    parsed = decode(str(REPOSITORY / "cloudformation" / name))[0]
    resources = json.loads(json.dumps(parsed))["Resources"]
    return {key: resource["Properties"] for key, resource in resources.items()}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Orchestrator:
    """The programs of a home whose instance is the one of AWS, but for what needs AWS."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.home = home / "dagster"
        self.environment = {**environment, "DAGSTER_HOME": str(self.home)}
        self.port, self.web_port = free_port(), free_port()
        self._processes = ExitStack()

    def __enter__(self) -> "Orchestrator":
        configuration = yaml.safe_load(dagster_yaml("aws"))
        for part in ("run_launcher", "compute_logs"):
            del configuration[part]
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(configuration))
        workspace = (files("imgclf_dagster.deployment") / "workspace-aws.yaml").read_text()
        (self.home / "workspace.yaml").write_text(workspace.replace("4000", str(self.port)))
        self.environment["IMGCLF_CODE_HOST"] = "127.0.0.1"
        self.code = self._start("CodeTaskDefinition")
        self.daemon = self._start("DaemonTaskDefinition")
        self.web = self._start("WebTaskDefinition")
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.close()

    def command(self, task: str, *, health: bool = False) -> list[str]:
        """What ECS runs in ``task``, or its health check, with our ports and files."""
        container = template("orchestrator.yaml")[task]["ContainerDefinitions"][0]
        command = container["HealthCheck"]["Command"][1:] if health else container["Command"]
        here = {
            "0.0.0.0": "127.0.0.1",
            "4000": str(self.port),
            "3000": str(self.web_port),
            "/var/lib/imgclf/dagster/workspace.yaml": str(self.home / "workspace.yaml"),
        }
        program, *arguments = [here.get(word, word) for word in command]
        return [str(Path(sys.executable).with_name(program)), *arguments]

    def _start(self, task: str) -> subprocess.Popen[bytes]:
        log = self._processes.enter_context((self.home / f"{task}.log").open("wb"))
        process = subprocess.Popen(
            self.command(task),
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

    def healthy(self, task: str) -> bool:
        """What ECS would think of ``task``."""
        check = subprocess.run(
            self.command(task, health=True), env=self.environment, capture_output=True, check=False
        )
        return check.returncode == 0

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
        health = template("orchestrator.yaml")["WebTargets"]["HealthCheckPath"]
        answer = httpx.get(f"http://127.0.0.1:{programs.web_port}{health}", timeout=60)
        assert answer.status_code == 200
        assert programs.healthy("CodeTaskDefinition")
        assert programs.healthy("DaemonTaskDefinition")
        before = indexed()
        postgres.stop()
        # Long enough for ticks and heartbeats to miss it.
        time.sleep(12)
        postgres.start()
        shutil.copytree(colours(tmp_path / "second", 3), imgclf.home / "store" / "raw" / "second")
        wait_for_more_than(before)
        assert programs.healthy("DaemonTaskDefinition")
