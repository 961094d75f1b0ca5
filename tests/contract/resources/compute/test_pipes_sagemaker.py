"""The Pipes client by itself, as any project would use it; and why it has a reader of its own."""

import os
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.pipes import utils
from dagster_pipes import PipesS3MessageWriter

from object_store.store import ObjectStore
from resources.compute.pipes import StoreContextInjector, StoreMessageReader, messages_prefix
from resources.compute.pipes_tuning import TuningMessageReader
from resources.compute.sagemaker_pipes.client import (
    JobNameTaken,
    PipesSageMakerClient,
    SageMakerJobFailed,
)
from resources.compute.sagemaker_pipes.environment import check_environment
from resources.compute.sagemaker_pipes.jobs import SageMakerJobs
from tests.contract.resources.compute.compute_world import write_modules
from tests.testbed.bed import TestBed
from training.container.pipes import StoreMessageChannel

pytestmark = pytest.mark.contract

JOBS = {
    "job_tuned": """
        depth = int(container.hyperparameters["depth"])
        with open_pipes() as pipes:
            pipes.log.info(f"depth {depth}")
            pipes.report_custom_message({"depth": depth})
            pipes.report_asset_materialization(metadata={"score": depth / 10})
        print(f"score={depth / 10};", flush=True)
    """,
    "job_learns": """
        with open_pipes() as pipes:
            pipes.report_asset_materialization(
                metadata={"lr": container.hyperparameters["lr"]}
            )
    """,
    "job_fails": """
        print("the last words", flush=True)
        container.write_failure("the script says why")
        sys.exit(3)
    """,
}
ROLE = "arn:aws:iam::123456789012:role/imgclf-jobs"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/any:1"
RESOURCES = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}


@pytest.fixture
def store(aws_environment: TestBed, tmp_path: Path) -> ObjectStore:
    write_modules(tmp_path / "modules", JOBS)
    store = ObjectStore(url=f"s3://{aws_environment.bucket()}")
    store.ensure()
    return store


def environment(tmp_path: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{Path.cwd()}{os.pathsep}{tmp_path / 'modules'}"}


def materialize(
    client: PipesSageMakerClient, **arguments: Any
) -> tuple[dg.AssetMaterialization, str]:
    """Run a job as the materialization of an asset; Dagster's log, too."""

    @dg.asset
    def thing(context: dg.AssetExecutionContext, pipes: PipesSageMakerClient) -> Any:
        return pipes.run(context=context, **arguments).get_materialize_result()

    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([thing], resources={"pipes": client}, instance=instance)
        log = "\n".join(entry.user_message for entry in instance.all_logs(done.run_id))
    return done.asset_materializations_for_node("thing")[0], log


def test_a_tuning_jobs_children_are_told_apart(
    aws_environment: TestBed,
    store: ObjectStore,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    name = f"tune-{uuid.uuid4().hex[:12]}"
    aws_environment.settings(image_entrypoint=["python", "-m", "job_tuned"])
    reader = TuningMessageReader(store, name)
    client = PipesSageMakerClient(
        context_injector=StoreContextInjector(store, name),
        message_reader=reader,
        poll_s=(0.1, 0.5),
    )
    try:
        made, log = materialize(
            client, job_kind="tuning", request=tuning_request(name, store, tmp_path)
        )
    finally:
        aws_environment.settings(image_entrypoint=None)
    assert sorted(child.messages[0]["depth"] for child in reader.children.values()) == [2, 3]
    jobs = SageMakerJobs(aws_environment.client("sagemaker"), "tuning")
    state = jobs.describe(name)
    assert state is not None
    best = jobs.children(state)[0]["TrainingJobName"]
    assert reader.children[best].messages == [{"depth": 3}]
    assert f"{best}: depth 3" in log
    lines = capfd.readouterr().out.splitlines()
    assert f"{best.removeprefix(f'{name}-')}/algo-1: score=0.3;" in lines
    assert sum(line.endswith("score=0.2;") for line in lines) == 1
    assert made.metadata["best training job"].value == best
    assert made.metadata["best score"].value == pytest.approx(0.3)
    assert made.metadata["training jobs completed"].value == 2


def tuning_request(name: str, store: ObjectStore, tmp_path: Path) -> dict[str, Any]:
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Grid",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {
                "CategoricalParameterRanges": [{"Name": "depth", "Values": ["2", "3"]}]
            },
        },
        "TrainingJobDefinition": {
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "score", "Regex": "score=([0-9.]+);"}],
            },
            "RoleArn": ROLE,
            "OutputDataConfig": {"S3OutputPath": store.uri("models")},
            "ResourceConfig": RESOURCES,
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "Environment": environment(tmp_path),
        },
    }


def test_a_failure_of_any_script_is_told_with_its_last_lines(
    aws_environment: TestBed, store: ObjectStore, tmp_path: Path
) -> None:
    name = f"any-{uuid.uuid4().hex[:12]}"
    client = PipesSageMakerClient(
        context_injector=StoreContextInjector(store, name),
        message_reader=StoreMessageReader(store, name, None),
        poll_s=(0.1, 0.5),
    )
    request = {
        "TrainingJobName": name,
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python", "-m", "job_fails"],
        },
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": store.uri("models")},
        "ResourceConfig": RESOURCES,
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "Environment": environment(tmp_path),
    }
    with pytest.raises(
        SageMakerJobFailed, match=r"(?s)the script says why, exit code 3.*the last words"
    ) as failed:
        materialize(client, request=request)
    assert failed.value.state.status == "Failed"
    assert not failed.value.allow_retries
    tags = aws_environment.client("sagemaker").list_tags(
        ResourceArn=failed.value.state.description["TrainingJobArn"]
    )["Tags"]
    assert "dagster/run-id" in {tag["Key"] for tag in tags}


def learning_request(name: str, store: ObjectStore, tmp_path: Path) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python", "-m", "job_learns"],
        },
        "HyperParameters": {"lr": "0.1"},
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": store.uri("models")},
        "ResourceConfig": RESOURCES,
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "Environment": environment(tmp_path),
    }


def test_a_name_that_is_taken_by_another_request_is_no_success(
    store: ObjectStore, tmp_path: Path
) -> None:
    name = f"any-{uuid.uuid4().hex[:12]}"
    readers = [StoreMessageReader(store, name, None) for _ in range(3)]
    clients = [
        PipesSageMakerClient(
            context_injector=StoreContextInjector(store, name),
            message_reader=reader,
            poll_s=(0.1, 0.5),
        )
        for reader in readers
    ]
    first = learning_request(name, store, tmp_path)
    materialize(clients[0], request=first)
    assert readers[0].metadata["lr"]["raw_value"] == "0.1"
    other = first | {"HyperParameters": {"lr": "0.9"}}
    with pytest.raises(
        JobNameTaken, match=r"HyperParameters\.lr: asked for '0\.9', it has '0\.1'"
    ) as failed:
        materialize(clients[1], request=other)
    assert not failed.value.allow_retries
    assert "another name" in (failed.value.description or "")
    _, log = materialize(clients[2], request=first)  # the same is found again, as before
    assert readers[2].metadata["lr"]["raw_value"] == "0.1"
    assert f"attached to SageMaker training job {name}" in log


@pytest.mark.parametrize(
    ("kind", "name", "values", "says"),
    [
        ("tuning", "t" * 33, {}, "33 characters"),
        ("tuning", "t", {str(i): "" for i in range(47)}, "49 environment"),
        ("training", "t", {"A": "x" * 513}, "A has 513 characters"),
        ("processing", "t", {"A": "x" * 257}, "A has 257 characters"),
    ],
)
def test_the_limits_of_each_kind(kind: Any, name: str, values: dict[str, str], says: str) -> None:
    with pytest.raises(dg.Failure, match=says) as failed:
        check_environment(kind, name, values, spare=2)
    assert not failed.value.allow_retries


# --- the stock reader, which is why there is another ------------------------------------------


class Heard:
    """Stands in for dagster.PipesMessageHandler."""

    def __init__(self) -> None:
        self.payloads: list[Any] = []
        self.received_opened_message = self.received_closed_message = False

    def handle_message(self, message: dict[str, Any]) -> None:
        if message["method"] == "report_custom_message":
            self.payloads.append(message["params"]["payload"])
        if message["method"] == "closed":
            self.received_closed_message = True


def stock_attempt(client: Any, params: Any, payload: int) -> None:
    """What a script does that uses dagster-pipes' own writer: a message, then its end."""
    with PipesS3MessageWriter(client=client, interval=0.01).open(params) as channel:
        channel.write_message(message("report_custom_message", payload=payload))
        channel.write_message(message("closed"))


def message(method: str, **params: Any) -> Any:
    return {"__dagster_pipes_version": "0.1", "method": method, "params": params}


def test_the_stock_reader_loses_a_restarted_attempt_and_a_second_session(
    aws_environment: TestBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster_aws.pipes import PipesS3MessageReader  # takes a second

    # It looks ten times in the ten seconds after a session; here, forty times in two.
    monkeypatch.setattr(utils, "DEFAULT_SLEEP_INTERVAL", 0.05)
    monkeypatch.setattr(utils, "WAIT_FOR_LOGS_AFTER_EXECUTION_INTERVAL", 1)
    s3, bucket = aws_environment.client("s3"), aws_environment.bucket()
    reader = PipesS3MessageReader(bucket=bucket, client=s3, interval=0.01)
    restarted, second = Heard(), Heard()
    with reader.read_messages(restarted) as params:
        stock_attempt(s3, params, 1)  # the machine is taken away ...
        stock_attempt(s3, params, 2)  # ... and the job starts again, at 1.json
    assert len(restarted.payloads) == 1  # which of them depends on who was faster
    with reader.read_messages(second) as params:
        stock_attempt(s3, params, 3)
    assert second.payloads == []


def test_ours_loses_neither(store: ObjectStore) -> None:
    def attempt(payload: int) -> None:
        channel = StoreMessageChannel(ObjectStore(url=store.url), messages_prefix("job"), 0.01)
        channel.write_message(message("report_custom_message", payload=payload))
        channel.write_message(message("closed"))
        channel.close()

    reader = StoreMessageReader(store, "job", None, poll_s=0.01)
    heard = Heard()
    with reader.read_messages(heard):
        attempt(1)
        attempt(2)
    assert reader.messages == [1, 2]
    with reader.read_messages(heard):
        attempt(3)
    assert reader.messages == [1, 2, 3]
