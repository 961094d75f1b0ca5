"""The test bed's SageMaker behaves as the service does."""

import sys
import time

import pytest

from tests.testbed.bed import TestBed

pytestmark = pytest.mark.contract

ROLE = "arn:aws:iam::123456789012:role/jobs"


def training_job(bed: TestBed, name: str, code: str, **more: object) -> dict:
    bucket = more.pop("bucket", None) or bed.bucket()
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {
            "TrainingImage": "image",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python", "-c"],
            "ContainerArguments": [code],
        },
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.xlarge",
            "InstanceCount": 1,
            "VolumeSizeInGB": 10,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **more,
    }


def wait(bed: TestBed, name: str, seconds: float = 20) -> dict:
    deadline = time.monotonic() + seconds
    while True:
        found = bed.client("sagemaker").describe_training_job(TrainingJobName=name)
        if found["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_job_runs(bed: TestBed) -> None:
    code = "import os,pathlib;r=pathlib.Path(os.environ['IMGCLF_ML_ROOT']);(r/'model/m').write_text('x');print('hello')"
    began = time.monotonic()
    bed.client("sagemaker").create_training_job(**training_job(bed, "first", code))
    found = wait(bed, "first")
    print(found, time.monotonic() - began)
    assert found["TrainingJobStatus"] == "Completed", found
    print(bed.client("logs").describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs"))
