"""A job as SageMaker is asked for it: checked against botocore's model, without a server."""

import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.compute.job_spec import Channel, JobSpec, LocalChannel
from resources.compute.sagemaker.attempt import failure_file
from resources.compute.sagemaker.inputs import bring_inputs
from resources.compute.sagemaker.launches import attempt_name, newest_launch, write_launch
from resources.compute.sagemaker.machines import JobResources, TrainingResources
from resources.compute.sagemaker.requests import (
    JobPlaces,
    JobSettings,
    NotConfigured,
    processing_request,
    training_request,
)
from resources.compute.sagemaker_pipes.costs import cost_usd, spot_saving_percent
from resources.compute.sagemaker_pipes.environment import with_pipes
from resources.compute.sagemaker_pipes.jobs import state_of
from resources.compute.sagemaker_pipes.reports import failure_of, job_facts, with_signal

pytestmark = pytest.mark.unit

SETTINGS = JobSettings(
    role_arn="arn:aws:iam::123456789012:role/jobs",
    image_uri="cpu:1",
    gpu_image_uri="gpu:1",
    kms_key_arn="arn:aws:kms:us-east-1:123456789012:key/k",
    subnets=("subnet-1",),
    security_group_ids=("sg-1",),
    region="us-east-1",
    tags={"imgclf:project": "imgclf"},
)
PLACES = JobPlaces({"data": "s3://b/pipes/j/channels/data.json"}, "s3://b/models", "s3://b/c/j")


def spec(kind: str = "training", **fields: Any) -> JobSpec:
    values = {"name": "train-1", "kind": kind, "module": "training.train"}
    return JobSpec.model_validate({**values, "hyperparameters": {"epochs": "3"}, **fields})


def check(operation: str, request: dict[str, Any]) -> None:
    """Raise for what boto3 would refuse to send."""
    model = botocore.session.get_session().get_service_model("sagemaker")
    shape = model.operation_model(operation).input_shape
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()


@pytest.mark.parametrize(
    "resources",
    [
        TrainingResources(),
        TrainingResources(spot=True),
        TrainingResources(keep_alive_s=600),
        TrainingResources(instance_type="ml.g5.12xlarge", instance_count=4),
    ],
)
def test_requests_have_the_form_of_the_api(resources: TrainingResources) -> None:
    check("CreateTrainingJob", training_request(spec(), "train-1", resources, SETTINGS, PLACES))
    check(
        "CreateProcessingJob",
        processing_request(spec("processing"), "eval-1", resources, SETTINGS, PLACES),
    )


def test_resources_become_what_sagemaker_calls_them() -> None:
    gpus = TrainingResources(instance_type="ml.g5.12xlarge", instance_count=4, volume_gb=200)
    request = training_request(spec(), "train-1-2", gpus, SETTINGS, PLACES)
    assert request["AlgorithmSpecification"]["TrainingImage"] == "gpu:1"
    assert request["ResourceConfig"] == {  # no VolumeKmsKeyId: its disk is the instance's own
        "InstanceType": "ml.g5.12xlarge",
        "InstanceCount": 4,
        "VolumeSizeInGB": 200,
    }
    assert request["EnableInterContainerTrafficEncryption"]
    assert request["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert request["TrainingJobName"] == "train-1-2"
    one = training_request(spec(), "train-1", TrainingResources(keep_alive_s=60), SETTINGS, PLACES)
    assert one["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 60
    assert one["ResourceConfig"]["VolumeKmsKeyId"] == SETTINGS.kms_key_arn
    assert one["AlgorithmSpecification"]["TrainingImage"] == "cpu:1"
    assert not one["EnableInterContainerTrafficEncryption"]


def test_how_long_a_job_may_run_and_wait() -> None:
    def stopping(job: JobSpec, resources: TrainingResources) -> dict[str, int]:
        request = training_request(job, "train-1", resources, SETTINGS, PLACES)
        return dict(request["StoppingCondition"])

    settings = TrainingResources(max_runtime_s=172_800, spot=True)
    assert stopping(spec(), settings) == {
        "MaxRuntimeInSeconds": 172_800,
        "MaxWaitTimeInSeconds": 176_400,
    }
    longer = settings.model_copy(update={"spot_wait_s": 7200})
    assert stopping(spec(), longer)["MaxWaitTimeInSeconds"] == 180_000
    chosen = settings.model_copy(update={"max_wait_s": 345_600})
    assert stopping(spec(), chosen)["MaxWaitTimeInSeconds"] == 345_600
    assert stopping(spec(max_runtime_s=60), TrainingResources()) == {"MaxRuntimeInSeconds": 60}
    long = processing_request(
        spec("processing", max_runtime_s=2_000_000), "e", JobResources(), SETTINGS, PLACES
    )
    assert long["StoppingCondition"] == {"MaxRuntimeInSeconds": 777_600}


def test_a_processing_job_gets_its_parameters_as_arguments() -> None:
    request = processing_request(spec("processing"), "eval-1", JobResources(), SETTINGS, PLACES)
    assert request["AppSpecification"]["ContainerArguments"] == ["--epochs", "3"]
    assert request["AppSpecification"]["ContainerEntrypoint"][-1] == "training.train"
    assert request["ProcessingInputs"][0]["S3Input"]["LocalPath"] == "/opt/ml/processing/input/data"


@pytest.mark.parametrize(
    ("settings", "resources", "says"),
    [
        (JobSettings("", "cpu:1"), TrainingResources(), r"aws\.job_role_arn"),
        (JobSettings("arn", ""), TrainingResources(), r"aws\.image_uri"),
        (
            JobSettings("arn", "c"),
            TrainingResources(instance_type="ml.p4d.24xlarge"),
            "gpu_image_uri",
        ),
        (
            JobSettings("arn", "c"),
            TrainingResources(instance_type="ml.gr6.4xlarge"),
            "gpu_image_uri",
        ),
    ],
)
def test_a_missing_setting_is_named(
    settings: JobSettings, resources: TrainingResources, says: str
) -> None:
    with pytest.raises(NotConfigured, match=says):
        training_request(spec(), "train-1", resources, settings, PLACES)


def test_pipes_and_dagsters_run_get_into_the_request() -> None:
    given = {"Environment": {"A": "1"}, "Tags": [{"Key": "dagster/job", "Value": "mine"}]}
    tags = {"dagster/job": "x", "dagster/partition": "a|b{c}" + "é" * 300}
    full = with_pipes(given, "training", {"P": "2"}, tags)
    assert full["Environment"] == {"A": "1", "P": "2"}
    assert given["Environment"] == {"A": "1"}
    assert full["Tags"][0] == {"Key": "dagster/job", "Value": "mine"}
    assert full["Tags"][1]["Value"] == ("a_b_c_" + "é" * 300)[:256]
    child = with_pipes({"TrainingJobDefinition": {}}, "tuning", {"P": "2"}, {})
    assert child["TrainingJobDefinition"] == {"Environment": {"P": "2"}}


def test_inputs_are_manifests_and_files_are_brought_once(tmp_path: Path) -> None:
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    store.put("in/x", b"")
    (tmp_path / "net.pth").write_bytes(b"weights")
    job = spec(
        channels={"data": Channel(prefix="in", keys=("in/x",))},
        local_channels={"weights": LocalChannel(folder=str(tmp_path), files=("net.pth",))},
    )
    uris = bring_inputs(store, job)
    assert bring_inputs(store, job) == uris
    assert len(store.list("inputs")) == 1
    key = store.list("inputs")[0].key
    assert key == f"inputs/{hashlib.sha256(b'weights').hexdigest()}/net.pth"
    text = store.get(next(i.key for i in store.list("pipes") if "weights" in i.key)).decode()
    assert text == f'[{{"prefix": "{store.uri(key.rpartition("/")[0])}/"}}, "net.pth"]'
    with pytest.raises(KeyMissing, match="in/lost"):
        bring_inputs(store, spec(channels={"data": Channel(prefix="in", keys=("in/lost",))}))


def test_attempts_have_names_of_their_own(tmp_path: Path) -> None:
    assert [attempt_name("train-1", n) for n in (1, 2, 10)] == [
        "train-1",
        "train-1-2",
        "train-1-10",
    ]
    long, other = "n" * 63, "n" * 62 + "m"
    assert attempt_name(long, 1) == long
    assert len(attempt_name(long, 2)) <= 63
    assert attempt_name(long, 2) != attempt_name(other, 2)
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    assert newest_launch(store, "j") is None
    store.put("pipes/j/messages/1-1.json", b"{}")
    first = write_launch(store, "j", 1)
    assert first.start_after == "pipes/j/messages/1-1.json"
    store.put("pipes/j/messages/2-1.json", b"{}")
    assert write_launch(store, "j", 1) == first  # of two orchestrators the first one's counts
    assert newest_launch(store, "j") == first


def described(status: str, **fields: Any) -> dict[str, Any]:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return {
        "TrainingJobName": "train-1",
        "TrainingJobStatus": status,
        "CreationTime": now,
        "TrainingEndTime": now + timedelta(seconds=90),
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2},
        **fields,
    }


@pytest.mark.parametrize(
    ("chosen", "longest"),
    [
        ({}, 3600),
        ({"spot_wait_s": 60}, 60),
        ({"max_wait_s": 172_800}, None),  # somebody chose SageMaker's own limit
        ({"max_wait_s": 172_800, "spot_wait_s": 60}, 60),
    ],
)
def test_a_spot_job_waits_for_an_hour_unless_somebody_chose(
    chosen: dict[str, int], longest: int | None
) -> None:
    assert TrainingResources(spot=True, **chosen).longest_spot_wait_s == longest


@pytest.mark.parametrize(
    ("steps", "waits_s"),
    [
        ([("Starting", "Starting the training job", 0)], 600),
        ([("Starting", "Insufficient capacity error from EC2", 0)], 600),
        ([("Starting", "Launching requested ML instances", 0)], 600),
        ([("Starting", "Preparing the instances for training", 0)], 0),
        ([("Starting", "x", 0), ("Downloading", "", 60), ("Training", "", 90)], 0),
        ([("Starting", "x", 0), ("Training", "", 90), ("Interrupted", "", 200)], 400),
        (
            [("Starting", "x", 0), ("Training", "", 90), ("Interrupted", "", 200),
             ("Starting", "Insufficient capacity", 210)],
            400,
        ),
        ([], 0),
    ],
)  # fmt: skip
def test_how_long_a_job_has_been_without_a_machine(
    steps: list[tuple[str, str, int]], waits_s: float
) -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    answered = {"date": format_datetime(began + timedelta(seconds=600), usegmt=True)}
    reported = described(
        "InProgress",
        SecondaryStatusTransitions=[
            {"Status": s, "StatusMessage": m, "StartTime": began + timedelta(seconds=at)}
            for s, m, at in steps
        ],
        ResponseMetadata={"HTTPHeaders": answered},
    )
    assert state_of("training", reported).waiting_s == waits_s, "by AWS's clock, not by ours"
    reported["TrainingJobStatus"] = "Stopped"
    assert state_of("training", reported).waiting_s == 0


@pytest.mark.parametrize(
    ("fields", "says", "retry"),
    [
        ({"FailureReason": "AlgorithmError: x, exit code: 137"}, "killed by SIGKILL", False),
        ({"FailureReason": "ClientError: Data download failed"}, "ClientError", False),
        ({"FailureReason": "CapacityError: Unable to provision"}, "CapacityError", True),
        ({"FailureReason": "InternalServerError: We"}, "InternalServerError", True),
        ({}, "no reason", True),
        (
            {"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"},
            "longer than 3600 s",
            False,
        ),
        (
            {"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxWaitTimeExceeded"},
            "no spot capacity",
            True,
        ),
        ({"TrainingJobStatus": "Stopped", "SecondaryStatus": "Stopped"}, "from outside", False),
    ],
)
def test_failures_are_distinguished(fields: dict[str, Any], says: str, retry: bool) -> None:
    failure = failure_of(state_of("training", described("Failed", **fields)))
    assert failure is not None
    assert says in failure[0]
    assert failure[1] is retry


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (
            "AlgorithmError: PermanentFailure: no labels, exit code: 1",
            "PermanentFailure: no labels",
        ),
        ("AlgorithmError: , exit code: 137", ""),
        (f"AlgorithmError: ValueError: {'x' * 2000}"[:1024], f"ValueError: {'x' * 2000}"[:1008]),
        ("ClientError: Data download failed", ""),
    ],
)
def test_what_the_script_said_is_found_in_the_reason(reason: str, expected: str) -> None:
    """Also if SageMaker has cut it before the exit code."""
    assert failure_file(state_of("training", described("Failed", FailureReason=reason))) == expected


def test_a_processing_jobs_script_speaks_by_its_exit_message() -> None:
    answer = {
        "ProcessingJobName": "eval-1",
        "ProcessingJobStatus": "Failed",
        "FailureReason": "AlgorithmError: See job logs for more information",
    }
    assert failure_file(state_of("processing", answer)) == ""
    answer["ExitMessage"] = "PermanentFailure: no labels"
    assert failure_file(state_of("processing", answer)) == "PermanentFailure: no labels"


@pytest.mark.parametrize(
    ("instance_type", "own_disk"),
    [
        ("ml.m5.xlarge", False),
        ("ml.c5n.18xlarge", False),
        ("ml.g4dn.xlarge", True),
        ("ml.gr6.4xlarge", True),
        ("ml.p3dn.24xlarge", True),
        ("ml.p5en.48xlarge", True),
        ("ml.p6-b200.48xlarge", True),
    ],
)
def test_a_disk_of_the_instance_takes_no_key(instance_type: str, own_disk: bool) -> None:
    resources = TrainingResources(instance_type=instance_type)
    request = training_request(spec(), "train-1", resources, SETTINGS, PLACES)
    assert ("VolumeKmsKeyId" not in request["ResourceConfig"]) is own_disk


def test_subnets_need_security_groups() -> None:
    settings = JobSettings("arn:aws:iam::123456789012:role/jobs", "cpu:1", subnets=("subnet-1",))
    with pytest.raises(NotConfigured, match="security_group_ids"):
        training_request(spec(), "train-1", TrainingResources(), settings, PLACES)


def test_costs_are_those_of_all_instances() -> None:
    state = state_of(
        "training",
        described("Completed", BillableTimeInSeconds=1800, TrainingTimeInSeconds=3600),
    )
    assert failure_of(state) is None
    assert state.seconds == 90
    assert job_facts(state)["cost_usd"] == pytest.approx(0.23)  # half an hour of two
    assert job_facts(state, {"ml.m5.xlarge": 1.0})["cost_usd"] == pytest.approx(1.0)
    assert cost_usd("ml.unknown.xlarge", 1, 60) is None
    assert cost_usd("ml.m5.xlarge", 1, None) is None
    assert spot_saving_percent(3600, 1800) == 50
    assert spot_saving_percent(None, None) is None


def test_exit_codes_have_names() -> None:
    assert with_signal("x, exit code: 3") == "x, exit code 3"
    assert with_signal("exit code: 143").endswith("(killed by SIGTERM)")
