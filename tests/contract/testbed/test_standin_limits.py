"""The test bed's SageMaker refuses what the service refuses, and faults happen on demand."""

import time
from collections.abc import Callable

import obstore
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from obstore.store import from_url

from tests.testbed.bed import TestBed
from tests.testbed.examples import (
    processing_request,
    run_training,
    spot_request,
    training_request,
    wait_training,
)

pytestmark = pytest.mark.contract


def _refusal(call: Callable[..., object], request: dict) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


_TRAINING = {
    "length of a value": ({"Environment": {"A": "x" * 513}}, "less than or equal to 512"),
    "entries": ({"Environment": {f"A{i}": "" for i in range(101)}}, "less than or equal to 100"),
    "a variable's name": ({"Environment": {"A-B": "1"}}, "regular expression pattern"),
    "hyperparameter": ({"HyperParameters": {"a": "x" * 2501}}, "less than or equal to 2500"),
    "hyperparameters": (
        {"HyperParameters": {str(i): "" for i in range(101)}},
        "less than or equal to 100",
    ),
    "job name": ({"TrainingJobName": "under_score"}, "trainingJobName"),
    "long job name": ({"TrainingJobName": "x" * 64}, "less than or equal to 63"),
    "role": ({"RoleArn": "arn:aws:iam::123456789012:user/mallory"}, "roleArn"),
    "instance type": (
        {
            "ResourceConfig": {
                "InstanceType": "ml.m5.tiny",
                "InstanceCount": 1,
                "VolumeSizeInGB": 1,
            }
        },
        "enum value set",
    ),
    "spot without a wait": ({"EnableManagedSpotTraining": True}, "MaxWaitTimeInSeconds"),
    "a short wait": (
        {
            "EnableManagedSpotTraining": True,
            "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59},
        },
        "MaxWaitTimeInSeconds",
    ),
    "spot in a warm pool": (
        {
            "EnableManagedSpotTraining": True,
            "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
            "ResourceConfig": {
                "InstanceType": "ml.m5.xlarge",
                "InstanceCount": 1,
                "VolumeSizeInGB": 1,
                "KeepAlivePeriodInSeconds": 60,
            },
        },
        "KeepAlivePeriodInSeconds",
    ),
    "a tag": ({"Tags": [{"Key": "a!", "Value": ""}]}, "regular expression pattern"),
}


@pytest.mark.parametrize(("change", "named"), _TRAINING.values(), ids=_TRAINING)
def test_a_training_job_beyond_a_limit(bed: TestBed, change: dict, named: str) -> None:
    request = training_request(bed, "refused", bucket="any-bucket") | change
    code, message = _refusal(bed.client("sagemaker").create_training_job, request)
    assert code == "ValidationException"
    assert named in message


def test_a_training_job_within_every_limit(bed: TestBed) -> None:
    environment = {f"A{i}": "x" * 512 for i in range(100)}
    request = training_request(bed, "x" * 63, Environment=environment)
    assert run_training(bed, request)["TrainingJobStatus"] == "Completed"


def test_too_many_channels_and_long_arguments(bed: TestBed) -> None:
    bucket = bed.bucket()
    bed.client("s3").put_object(Bucket=bucket, Key="a/b", Body=b"")
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/a"}}
    channels = [{"ChannelName": f"c{i}", "DataSource": source} for i in range(21)]
    create = bed.client("sagemaker").create_training_job
    request = training_request(bed, "refused", bucket=bucket, InputDataConfig=channels)
    assert "less than or equal to 20" in _refusal(create, request)[1]
    request = training_request(bed, "refused", bucket=bucket)
    request["AlgorithmSpecification"]["ContainerArguments"] = ["x" * 257]
    assert "less than or equal to 256" in _refusal(create, request)[1]


def test_every_violation_is_named(bed: TestBed) -> None:
    request = training_request(bed, "a_b", bucket="any", Environment={"A": "x" * 513})
    _, message = _refusal(bed.client("sagemaker").create_training_job, request)
    assert message.startswith("2 validation errors detected: ")


_PROCESSING = {
    "length of a value": ({"Environment": {"A": "x" * 257}}, "less than or equal to 256"),
    "inputs": (
        {"ProcessingInputs": [{"InputName": str(i)} for i in range(11)]},
        "less than or equal to 10",
    ),
    "an output's place": (
        {
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": "o",
                        "S3Output": {
                            "S3Uri": "s3://b/o",
                            "LocalPath": "/opt/ml/model",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ]
            }
        },
        "below /opt/ml/processing/",
    ),
}


@pytest.mark.parametrize(("change", "named"), _PROCESSING.values(), ids=_PROCESSING)
def test_a_processing_job_beyond_a_limit(bed: TestBed, change: dict, named: str) -> None:
    request = processing_request(bed, "refused", bucket="any-bucket") | change
    code, message = _refusal(bed.client("sagemaker").create_processing_job, request)
    assert code == "ValidationException"
    assert named in message


def test_a_role_that_sagemaker_may_not_assume(bed: TestBed) -> None:
    iam = bed.client("iam")
    trust = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "%s"}}]}'
    for name, service in (("lambda", "lambda"), ("jobs-trusted", "sagemaker")):
        document = trust % f"{service}.amazonaws.com"
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
    rights = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
    iam.put_role_policy(RoleName="jobs-trusted", PolicyName="store", PolicyDocument=rights)
    request = training_request(bed, "role", RoleArn="arn:aws:iam::123456789012:role/lambda")
    assert (
        "Could not assume role" in _refusal(bed.client("sagemaker").create_training_job, request)[1]
    )
    request["RoleArn"] = "arn:aws:iam::123456789012:role/jobs-trusted"
    assert run_training(bed, request)["TrainingJobStatus"] == "Completed"


def test_operations_that_nobody_wrote_are_refused(bed: TestBed) -> None:
    code, _ = _refusal(bed.client("sagemaker").list_notebook_instances, {})
    assert code == "UnknownOperationException"


# --- faults -----------------------------------------------------------------------------------


def test_throttling_in_each_protocol(bed: TestBed) -> None:
    calls = {
        "sagemaker": lambda: bed.client("sagemaker").list_training_jobs(),
        "s3": lambda: bed.client("s3").list_buckets(),
        "logs": lambda: bed.client("logs").describe_log_groups(),
        "sqs": lambda: bed.client("sqs").list_queues(),
        "iam": lambda: bed.client("iam").list_roles(),
        "sts": lambda: bed.client("sts").get_caller_identity(),
    }
    for service, call in calls.items():
        bed.fault(service, "throttle")
        with pytest.raises(ClientError) as caught:
            call()
        code = caught.value.response["Error"]["Code"]
        assert code in ("ThrottlingException", "SlowDown", "Throttling"), (service, code)
        assert call()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_clients_that_retry_overcome_it(bed: TestBed, aws_environment: TestBed) -> None:
    bucket = bed.bucket()
    store = from_url(f"s3://{bucket}/")
    bed.fault("PutObject", "throttle", match={"Key": "a*"}, times=2)
    obstore.put(store, "b", b"1")
    assert bed.faults()[0]["taken"] == 0
    obstore.put(store, "a", b"1")
    assert bed.faults()[0]["taken"] == 2
    bed.fault("ListTrainingJobs", "error500")
    retrying = bed.client("sagemaker", retries={"mode": "standard", "total_max_attempts": 3})
    assert "TrainingJobSummaries" in retrying.list_training_jobs()


def test_a_lost_answer_leaves_what_was_done(bed: TestBed) -> None:
    create = bed.client("sagemaker").create_training_job
    bed.fault("CreateTrainingJob", "lost", when="before")
    bed.fault("CreateTrainingJob", "lost")
    request = training_request(bed, "lost")
    for done in (False, True):
        with pytest.raises(ConnectionClosedError):
            create(**request)
        names = bed.client("sagemaker").list_training_jobs(NameContains="lost")
        assert len(names["TrainingJobSummaries"]) == done
    assert _refusal(create, request)[0] == "ResourceInUse"
    assert [c["fault"] for c in bed.calls("CreateTrainingJob")[-3:]] == ["lost", "lost", None]


def test_slow_answers_quota_and_skipped_calls(bed: TestBed) -> None:
    bed.fault("ListTrainingJobs", "slow", seconds=0.4)
    began = time.monotonic()
    bed.client("sagemaker").list_training_jobs()
    assert time.monotonic() - began >= 0.4
    bed.fault("CreateTrainingJob", "quota", skip=1)
    assert run_training(bed, training_request(bed, "quota-1"))["TrainingJobStatus"] == "Completed"
    request = training_request(bed, "quota-2")
    assert _refusal(bed.client("sagemaker").create_training_job, request)[0] == (
        "ResourceLimitExceeded"
    )


def test_no_capacity_and_internal_errors(bed: TestBed) -> None:
    bed.fault("CreateTrainingJob", "capacity", job="full-*")
    found = run_training(bed, training_request(bed, "full-1"))
    assert found["FailureReason"].startswith("CapacityError: ")
    bed.fault("CreateTrainingJob", "internal", job="breaks-*", times=2)
    found = run_training(bed, training_request(bed, "breaks-1", "time.sleep(3600)"))
    assert found["FailureReason"].startswith("InternalServerError: ")
    code = "time.sleep(1)"
    request = training_request(bed, "breaks-2", code, RetryStrategy={"MaximumRetryAttempts": 1})
    found = run_training(bed, request)
    assert found["TrainingJobStatus"] == "Completed"
    assert "Restarting" in [entry["Status"] for entry in found["SecondaryStatusTransitions"]]


def test_capacity_comes_back_for_a_spot_job(bed: TestBed) -> None:
    bed.fault("CreateTrainingJob", "capacity", job="later", seconds=0.3)
    found = run_training(bed, spot_request(bed, "later"))
    assert found["TrainingJobStatus"] == "Completed"
    assert (found["TrainingStartTime"] - found["CreationTime"]).total_seconds() >= 0.29


def test_a_fault_that_does_not_exist(bed: TestBed) -> None:
    with pytest.raises(ValueError, match="no fault 'earthquake'"):
        bed.fault("*", "earthquake")


def test_a_stopped_spot_job_is_not_restarted(bed: TestBed) -> None:
    bed.client("sagemaker").create_training_job(**spot_request(bed, "halt", "time.sleep(3600)"))
    wait_training(bed, "halt", ("Training",))
    bed.client("sagemaker").stop_training_job(TrainingJobName="halt")
    assert wait_training(bed, "halt")["TrainingJobStatus"] == "Stopped"
