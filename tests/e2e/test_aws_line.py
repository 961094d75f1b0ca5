"""The line on AWS as far as the test bed is AWS: from a folder to production, in bad weather."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from imgclf_dagster.definitions import build_definitions
from imgclf_dagster.sensors.arrival import raw_images_arrival_sensor
from imgclf_dagster.settings.root import load_settings
from tests.patience import wait_for
from tests.testbed.account import told_by_a_queue
from tests.testbed.bed import TestBed
from tests.warm_programs.sitecustomize import COLD

pytestmark = pytest.mark.e2e

LEARNT, WITHHELD = 20, 12
"""Images of each colour to learn from (in S3, one costs as much as its training), and to predict."""

THROTTLED = (
    "PutObject",
    "GetObject",
    "CreateTrainingJob",
    "DescribeTrainingJob",
    "GetLogEvents",
    "CreateProcessingJob",
    "CreateModelPackage",
    "CreateChangeSet",
    "DescribeStackEvents",
    "InvokeEndpoint",
    "ReceiveMessage",
    "DeleteMessageBatch",
)
"""One call of each is turned away once: of each service that the line itself calls."""


@pytest.fixture
def pictures(colours: Callable[..., Path], tmp_path: Path) -> tuple[Path, list[Path]]:
    """The folder to learn from, and files in class folders that are withheld from it."""
    folder = colours(tmp_path / "pictures", LEARNT + WITHHELD)
    withheld = []
    for label in sorted(folder.iterdir()):
        (tmp_path / "withheld" / label.name).mkdir(parents=True)
        for file in sorted(label.iterdir())[LEARNT:]:
            withheld.append(file.rename(tmp_path / "withheld" / label.name / file.name))
    return folder, withheld


@pytest.fixture
def on_aws(
    imgclf_here: Any, aws_variables: dict[str, str], fast: dict[str, str], bed: TestBed
) -> Any:
    bucket, prefix = aws_variables["IMGCLF_AWS__BUCKET"], aws_variables["IMGCLF_AWS__PREFIX"]
    queue = told_by_a_queue(bed, bucket, prefix)
    imgclf_here.settings = {
        **fast,
        **aws_variables,
        "IMGCLF_AWS__ARRIVALS_QUEUE_URL": queue,
        "IMGCLF_GATES__MAX_STAGING_LATENCY_MS": "10000",
        "IMGCLF_GATES__CHAMPION_TOLERANCE": "0.2",  # models of a few images; not what this is about
    }
    return imgclf_here


def test_images_reach_production_through_every_fault(
    on_aws: Any, bed: TestBed, pictures: tuple[Path, list[Path]]
) -> None:
    folder, withheld = pictures
    began = len(bed.calls())
    for operation in THROTTLED:
        bed.fault(operation, "throttle")
    bed.fault("CreateTrainingJob", "spot_interruption", job="train-*")
    ingested = on_aws("ingest", folder, "--json")
    assert ingested.code == 0, ingested.output
    wait_for(lambda: empties_the_queue(on_aws, bed), every_s=1)
    assert on_aws.store.list("arrivals/"), "the queue has told of images"

    kill_while_training(on_aws, bed)
    ran = on_aws("run")
    assert ran.code == 0, ran.output
    first = candidate(on_aws)
    assert started(bed, first) == 1, "attached to, not paid for twice"
    job = bed.client("sagemaker").describe_training_job(TrainingJobName=first)
    phases = [item["Status"] for item in job["SecondaryStatusTransitions"]]
    assert "Interrupted" in phases
    assert phases.count("Training") == 2
    approved = on_aws("approve", "--reason", "it knows its colours", "--by", "ann")
    assert approved.code == 0, approved.output
    answered = on_aws("predict", folder.parent / "withheld", "--json")
    assert answered.code == 0, answered.output
    right = [
        item["predicted"] == [Path(item["file"]).parent.name] for item in json.loads(answered.out)
    ]
    assert len(right) == len(withheld) == 3 * WITHHELD
    assert sum(right) >= 0.95 * len(right)
    assert not [fault["operation"] for fault in bed.faults() if not fault["taken"]]
    called = {call["service"] for call in bed.calls()[began:]}
    assert called <= {call["service"] for call in bed.calls()[began:] if call["fault"]}, (
        "a service that the line calls and that never turns it away"
    )

    again = on_aws("run")
    assert again.code == 0, again.output
    assert started(bed, first) == 1
    a_canary_that_fails_rolls_back(on_aws, bed, first, withheld)


def empties_the_queue(imgclf: Any, bed: TestBed) -> bool:
    """Tick once the sensor that does, as the daemon has it: `imgclf run` has none.

    Returns:
        Whether messages were received and deleted by then: some may still be on their way.
    """
    with imgclf.in_its_environment():
        given = build_definitions(load_settings()).resources or {}
        given = {name: given[name] for name in ("store", "line", "arrivals")}
        with (
            dg.DagsterInstance.ephemeral() as instance,
            dg.build_sensor_context(instance=instance, resources=given) as context,
        ):
            raw_images_arrival_sensor(context)
    return any(
        fault["operation"] == "DeleteMessageBatch" and fault["taken"] for fault in bed.faults()
    )


def kill_while_training(imgclf: Any, bed: TestBed) -> None:
    """kill -9 of ``imgclf run`` as soon as its training job computes."""
    command = [sys.executable, "-m", "imgclf_dagster.cli.entry", "run"]
    orchestrator = subprocess.Popen(
        command,
        env=imgclf.environment(**{COLD: "1"}),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    client = bed.client("sagemaker")

    def computes() -> bool:
        assert orchestrator.poll() is None, "the orchestrator ended before its job computed"
        jobs = client.list_training_jobs(NameContains="train-")["TrainingJobSummaries"]
        newest = [job for job in jobs if job["TrainingJobName"] in mine(bed, imgclf)]
        return any(
            client.describe_training_job(TrainingJobName=job["TrainingJobName"])["SecondaryStatus"]
            == "Training"
            for job in newest
        )

    try:
        wait_for(computes, every_s=0.05)
    finally:
        orchestrator.send_signal(signal.SIGKILL)
        orchestrator.wait()


def mine(bed: TestBed, imgclf: Any) -> set[str]:
    """Training jobs that write into this test's bucket."""
    bucket = imgclf.settings["IMGCLF_AWS__BUCKET"]
    return {
        call["request"]["TrainingJobName"]
        for call in bed.calls("CreateTrainingJob")
        if f"s3://{bucket}/" in call["request"]["OutputDataConfig"]["S3OutputPath"]
    }


def started(bed: TestBed, job: str) -> int:
    """How many times the job was created: calls that were not refused."""
    return sum(
        call["request"]["TrainingJobName"].startswith(job) and call["status"] == 200
        for call in bed.calls("CreateTrainingJob")
    )


def candidate(imgclf: Any) -> str:
    status = json.loads(imgclf("status", "--json").out)
    return str(status["candidate"]["model_version"])


def a_canary_that_fails_rolls_back(
    imgclf: Any, bed: TestBed, first: str, withheld: list[Path]
) -> None:
    trained = imgclf("run", IMGCLF_TRAINING__SEED="1")
    assert trained.code == 0, trained.output
    second = candidate(imgclf)
    assert second != first
    with alarm_during_update(bed, "imgclf-prod"):
        approved = imgclf("approve", second, "--reason", "newer", "--by", "ann")
    assert approved.code == 1, approved.output
    assert "rolled back" in approved.words or "ROLLBACK" in approved.words, approved.output
    status = json.loads(imgclf("status", "--json").out)
    assert status["prod"]["model_version"] == first
    assert status["prod"]["reason"].startswith(f"rolled back: {second}")
    answered = imgclf("predict", withheld[0], "--json")
    assert json.loads(answered.out)[0]["model_version"] == first, answered.output


@contextmanager
def alarm_during_update(bed: TestBed, endpoint: str) -> Iterator[None]:
    """Sets off the endpoint's alarms once its update has begun, until the block is left."""
    sagemaker, cloudwatch = bed.client("sagemaker"), bed.client("cloudwatch")
    over = threading.Event()

    def turn(state: str) -> None:
        for alarm in cloudwatch.describe_alarms()["MetricAlarms"]:
            if endpoint in alarm["AlarmName"] or endpoint in json.dumps(alarm, default=str):
                cloudwatch.set_alarm_state(
                    AlarmName=alarm["AlarmName"], StateValue=state, StateReason="test"
                )

    def ring() -> None:
        while not over.wait(0.05):
            if sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "Updating":
                break
        turn("ALARM")

    thread = threading.Thread(target=ring)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        turn("OK")
