"""Code server and daemon as ECS runs them, on a real Postgres that is restarted under them."""

import json
import os
import shutil
import signal
import subprocess
import sys
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
from tests.patience import SOON_S, WAIT_S, wait_for
from tests.ports import free_port
from tests.testbed.postgres import Postgres, running_postgres

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).parents[2]
MODULES = {"dagster": "dagster", "dagster-daemon": "dagster._daemon"}
"""Modules that do what the scripts of these names do."""


def template(name: str) -> dict[str, Any]:
    """Properties of a template's resources, with CloudFormation's functions as dicts."""
    parsed = decode(str(REPOSITORY / "cloudformation" / name))[0]
    resources = json.loads(json.dumps(parsed))["Resources"]
    return {key: resource["Properties"] for key, resource in resources.items()}


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
        # What is no text refers to a parameter: the host name that the web server answers to.
        words = [word if isinstance(word, str) else "localhost" for word in command]
        program, *arguments = [here.get(word, word) for word in words]
        script = Path(sys.executable).with_name(program)
        assert script.exists()
        # The scripts' modules, which can run in copies of a warm process.
        module = MODULES.get(program)
        return [sys.executable, "-m", module, *arguments] if module else [str(script), *arguments]

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
                process.wait(SOON_S)  # as ECS: killed 30 s after it was asked to end
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

    def answers(self, path: str) -> bool:
        """Whether the load balancer would call the web server healthy."""
        assert self.web.poll() is None, self.output()
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.web_port}{path}", timeout=WAIT_S)
        except httpx.ConnectError:
            return False
        return answer.status_code == 200

    def output(self) -> str:
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
            def enough() -> bool:
                assert programs.daemon.poll() is None, programs.output()
                assert programs.code.poll() is None, programs.output()
                return indexed() > images

            wait_for(enough, lambda: f"{indexed()} images; {programs.output()}", every_s=1)

        health = template("orchestrator.yaml")["WebTargets"]["HealthCheckPath"]
        # Before the tables of the runs are there, `indexed` would create them beside the programs.
        wait_for(lambda: programs.answers(health), programs.output)
        wait_for_more_than(0)
        assert programs.healthy("CodeTaskDefinition")
        assert programs.healthy("DaemonTaskDefinition")
        before = indexed()
        log = programs.home / "DaemonTaskDefinition.log"
        text = log.stat().st_size
        postgres.stop()
        wait_for(lambda: "OperationalError" in log.read_bytes()[text:].decode(), programs.output)
        postgres.start()
        shutil.copytree(colours(tmp_path / "second", 3), imgclf.home / "store" / "raw" / "second")
        wait_for_more_than(before)
        assert programs.healthy("DaemonTaskDefinition")
