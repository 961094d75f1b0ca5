"""Requests for tests of the bed itself, and waiting for what they start."""

import io
import tarfile
import time
from typing import Any

from tests.patience import WAIT_S
from tests.testbed.bed import TestBed

ROLE = "arn:aws:iam::123456789012:role/jobs"
PRELUDE = """
import json, os, pathlib, sys, time
root = pathlib.Path(os.environ["IMGCLF_ML_ROOT"])
"""
"""What the code of an example begins with."""


def training_request(
    bed: TestBed, name: str, code: str = "", *, bucket: str = "", **more: Any
) -> dict[str, Any]:
    """CreateTrainingJob of a Python script; ``more`` replaces members, None removes one."""
    request = {
        "TrainingJobName": name,
        "AlgorithmSpecification": {
            "TrainingImage": "image",
            "TrainingInputMode": "File",
            **script(bed, code),
        },
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket or bed.bucket()}/models"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.xlarge",
            "InstanceCount": 1,
            "VolumeSizeInGB": 10,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **more,
    }
    return {k: v for k, v in request.items() if v is not None}


def spot_request(bed: TestBed, name: str, code: str = "", **more: Any) -> dict[str, Any]:
    """The same on spot instances."""
    return training_request(
        bed,
        name,
        code,
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
        **more,
    )


def processing_request(
    bed: TestBed, name: str, code: str = "", *, bucket: str = "", **more: Any
) -> dict[str, Any]:
    """CreateProcessingJob of a Python script, with one output."""
    output = {
        "S3Uri": f"s3://{bucket or bed.bucket()}/out",
        "LocalPath": "/opt/ml/processing/output",
        "S3UploadMode": "EndOfJob",
    }
    return {
        "ProcessingJobName": name,
        "AppSpecification": {"ImageUri": "image", **script(bed, code)},
        "RoleArn": ROLE,
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceType": "ml.m5.xlarge",
                "InstanceCount": 1,
                "VolumeSizeInGB": 10,
            }
        },
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "output", "S3Output": output}]},
        **more,
    }


def script(bed: TestBed, code: str) -> dict[str, list[str]]:
    """Entry point and arguments that run ``PRELUDE`` and ``code``, however long they are."""
    path = bed.folder / f"script-{time.time_ns()}.py"
    path.write_text(PRELUDE + code, encoding="utf-8")
    return {"ContainerEntrypoint": ["python"], "ContainerArguments": [str(path)]}


def run_training(bed: TestBed, request: dict[str, Any]) -> dict[str, Any]:
    """Create it, and its description once it has ended."""
    bed.client("sagemaker").create_training_job(**request)
    return wait_training(bed, request["TrainingJobName"])


def wait_training(
    bed: TestBed,
    name: str,
    secondary: tuple[str, ...] = ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded"),
    seconds: float = WAIT_S,
) -> dict[str, Any]:
    """Its description once the secondary status is one of these."""
    return _wait(
        lambda: bed.client("sagemaker").describe_training_job(TrainingJobName=name),
        "SecondaryStatus",
        (*secondary, "MaxWaitTimeExceeded"),
        seconds,
    )


def run_processing(bed: TestBed, request: dict[str, Any]) -> dict[str, Any]:
    """Create it, and its description once it has ended."""
    bed.client("sagemaker").create_processing_job(**request)
    name = request["ProcessingJobName"]
    return _wait(
        lambda: bed.client("sagemaker").describe_processing_job(ProcessingJobName=name),
        "ProcessingJobStatus",
        ("Completed", "Failed", "Stopped"),
    )


def wait_tuning(bed: TestBed, name: str) -> dict[str, Any]:
    """A tuning job's description once it has ended."""
    client = bed.client("sagemaker")
    return _wait(
        lambda: client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name),
        "HyperParameterTuningJobStatus",
        ("Completed", "Failed", "Stopped"),
    )


def log_lines(bed: TestBed, group: str, job: str, host: str = "algo-1") -> list[list[str]]:
    """Lines of each of a host's streams (one for each attempt), oldest stream first."""
    logs = bed.client("logs")
    streams = logs.describe_log_streams(
        logGroupName=f"/aws/sagemaker/{group}", logStreamNamePrefix=f"{job}/{host}-"
    )["logStreams"]
    return [
        [
            event["message"]
            for event in logs.get_log_events(
                logGroupName=f"/aws/sagemaker/{group}",
                logStreamName=stream["logStreamName"],
                startFromHead=True,
            )["events"]
        ]
        for stream in sorted(streams, key=lambda stream: stream["logStreamName"])
    ]


def archive(bed: TestBed, url: str) -> dict[str, bytes]:
    """Members of a ``tar.gz`` in S3."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    data = bed.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}


def _wait(describe: Any, member: str, values: tuple[str, ...], seconds: float = WAIT_S) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        found = describe()
        if found[member] in values:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.03)
