"""The EcsRunLauncher of ``dagster-aws.yaml``, over HTTP to moto's ECS and a task's metadata."""

import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher.base import WorkerStatus
from dagster._core.test_utils import in_process_test_workspace
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from moto.server import ThreadedMotoServer

from imgclf_dagster.deployment import dagster_yaml
from tests.patience import WAIT_S
from tests.testbed.postgres import running_postgres

pytestmark = pytest.mark.contract

FAMILY = "imgclf-run"
TOKEN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:imgclf/label-studio-AbCdEf"
SECRETS = {
    FAMILY: [{"name": "IMGCLF_LABEL_STUDIO__TOKEN", "valueFrom": TOKEN}],
    "imgclf-daemon": [],
}
"""Of the containers, as ``orchestrator.yaml`` has them: the daemon gets no token."""


@dg.job
def a_job() -> None:
    """Nothing; only launched."""


@dataclass
class Cluster:
    """ECS with the daemon's task running, from which runs are launched."""

    ecs: Any
    daemon: dict[str, Any]

    def runs(self) -> list[dict[str, Any]]:
        arns = self.ecs.list_tasks(cluster="imgclf", family=FAMILY)["taskArns"]
        return (
            self.ecs.describe_tasks(cluster="imgclf", tasks=arns, include=["TAGS"])["tasks"]
            if arns
            else []
        )


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield
    urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"").close()
    server.stop()


@pytest.fixture
def cluster(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The tasks' definitions as the stack makes them; the rest is the launcher's own business."""
    ecs = boto3.client("ecs")
    ecs.create_cluster(clusterName="imgclf")
    for family, container in ((FAMILY, "run"), ("imgclf-daemon", "daemon")):
        ecs.register_task_definition(
            family=family,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="1024",
            memory="4096",
            # moto fails without a container's own memory; Fargate takes the task's.
            containerDefinitions=[
                {
                    "name": container,
                    "image": "imgclf:1",
                    "essential": True,
                    "memory": 4096,
                    "secrets": SECRETS[family],
                }
            ],
        )
    subnet = boto3.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    group = boto3.client("ec2").describe_security_groups()["SecurityGroups"][0]["GroupId"]
    daemon = ecs.run_task(
        cluster="imgclf",
        taskDefinition="imgclf-daemon",
        launchType="FARGATE",
        networkConfiguration={
            "awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}
        },
    )["tasks"][0]

    class Metadata(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            task = {"Cluster": daemon["clusterArn"], "TaskARN": daemon["taskArn"]}
            body = json.dumps(task if self.path.endswith("/task") else {"Name": "daemon"})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/v4"
        monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", address)
        yield Cluster(ecs, daemon)
        server.shutdown()


@pytest.fixture
def instance_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGCLF_AWS__BUCKET", "lake")
    monkeypatch.setenv("IMGCLF_COMPUTE_LOGS_PREFIX", "dagster/logs")
    monkeypatch.setenv("IMGCLF_RUN_TASK_DEFINITION", FAMILY)


@pytest.fixture
def instance(
    cluster: Cluster, instance_variables: None, tmp_path: Path
) -> Iterator[dg.DagsterInstance]:
    """The instance of the file, but for its database."""
    configuration = yaml.safe_load(dagster_yaml("aws"))
    del configuration["storage"]
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(configuration))
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path))) as opened:
        yield opened


def launch(instance: dg.DagsterInstance) -> str:
    """Start a run as the daemon does; its id."""
    origin = LoadableTargetOrigin(executable_path=sys.executable, python_file=__file__)
    with in_process_test_workspace(instance, origin) as workspace:
        location = workspace.get_code_location(workspace.code_location_names[0])
        remote = next(iter(location.get_repositories().values())).get_full_job("a_job")
        run = instance.create_run_for_job(
            a_job,
            remote_job_origin=remote.get_remote_origin(),
            job_code_origin=remote.get_python_origin(),
        )
        instance.launch_run(run.run_id, workspace)
    return run.run_id


def test_a_run_is_a_task_beside_the_daemon(instance: dg.DagsterInstance, cluster: Cluster) -> None:
    definitions = cluster.ecs.list_task_definitions()["taskDefinitionArns"]
    run_id = launch(instance)
    (task,) = cluster.runs()
    assert task["launchType"] == "FARGATE"
    assert {"key": "dagster/run_id", "value": run_id} in task["tags"]
    (override,) = task["overrides"]["containerOverrides"]
    assert override["name"] == "run"
    assert override["command"][:3] == ["dagster", "api", "execute_run"]
    # The whole of the overrides may have 8,192 characters; the instance travels in them.
    assert len(json.dumps(task["overrides"])) < 8192

    def detail(of: dict[str, Any], name: str) -> str:
        details = of["attachments"][0]["details"]
        return next(item["value"] for item in details if item["name"] == name)

    assert detail(task, "subnetId") == detail(cluster.daemon, "subnetId")
    # It would need ecs:RegisterTaskDefinition, which the daemon's role has not got.
    assert cluster.ecs.list_task_definitions()["taskDefinitionArns"] == definitions
    health = instance.run_launcher.check_run_worker_health(instance.get_run_by_id(run_id))
    assert health.status is WorkerStatus.RUNNING


def test_a_run_gets_label_studios_token_from_its_definition_and_nothing_else_does(
    instance: dg.DagsterInstance, cluster: Cluster
) -> None:
    launch(instance)
    (task,) = cluster.runs()
    definition = cluster.ecs.describe_task_definition(taskDefinition=task["taskDefinitionArn"])
    (container,) = definition["taskDefinition"]["containerDefinitions"]
    assert container["secrets"] == SECRETS[FAMILY], "the launcher leaves the stack's secrets alone"
    (override,) = task["overrides"]["containerOverrides"]
    assert override["name"] == container["name"]
    assert "LABEL_STUDIO" not in json.dumps(task["overrides"])


def test_a_run_is_stopped_with_its_task(instance: dg.DagsterInstance, cluster: Cluster) -> None:
    run_id = launch(instance)
    assert instance.run_launcher.terminate(run_id)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.CANCELING
    (arn,) = (tag for key, tag in run.tags.items() if key == "ecs/task_arn")
    (task,) = cluster.ecs.describe_tasks(cluster="imgclf", tasks=[arn])["tasks"]
    assert task["desiredStatus"] == "STOPPED"


def test_a_run_definition_that_is_missing_is_named(
    instance: dg.DagsterInstance, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMGCLF_RUN_TASK_DEFINITION")
    with pytest.raises(Exception, match="IMGCLF_RUN_TASK_DEFINITION"):
        launch(instance)


def test_migrating_an_empty_database_twice_at_the_same_time(
    cluster: Cluster,
    instance_variables: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As after the first deployment: each program creates the tables if they are missing.
    (tmp_path / "dagster.yaml").write_text(dagster_yaml("aws"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    command = [sys.executable, "-m", "dagster", "instance", "migrate"]
    with running_postgres() as postgres:
        for name, value in postgres.database().items():
            monkeypatch.setenv(name, value)
        at_once = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for _ in range(2)
        ]
        for process in at_once:
            answer, _ = process.communicate(timeout=WAIT_S)
            assert process.returncode == 0, answer
        assert subprocess.run(command, check=False, timeout=WAIT_S).returncode == 0
