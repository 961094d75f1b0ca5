"""Whether a job that is there is the one that is asked for: every member that matters counts."""

import copy
from typing import Any

import boto3
import pytest

from resources.compute.sagemaker_pipes.jobs import JobKind
from resources.compute.sagemaker_pipes.requests import differing_fields

pytestmark = pytest.mark.unit

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/imgclf:1"
CHANNEL = {
    "ChannelName": "data",
    "DataSource": {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "s3://b/m.json"}},
}
TRAINING: dict[str, Any] = {
    "TrainingJobName": "train-1",
    "AlgorithmSpecification": {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["python", "-m", "training.launcher", "training.train"],
    },
    "HyperParameters": {"lr": "0.1", "epochs": "3"},
    "InputDataConfig": [CHANNEL],
    "RoleArn": "arn:aws:iam::123456789012:role/jobs",
    "OutputDataConfig": {"S3OutputPath": "s3://b/models"},
    "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    "Environment": {"TOKEN": "hush"},
    "Tags": [{"Key": "run", "Value": "1"}],
}
PROCESSING: dict[str, Any] = {
    "ProcessingJobName": "eval-1",
    "AppSpecification": {"ImageUri": IMAGE, "ContainerArguments": ["--k", "1"]},
    "RoleArn": "arn:aws:iam::123456789012:role/jobs",
    "ProcessingResources": {
        "ClusterConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50}
    },
    "Environment": {"TOKEN": "hush"},
}


def differing(kind: JobKind, request: dict[str, Any], description: dict[str, Any]) -> list[str]:
    client = boto3.client("sagemaker", region_name="us-east-1")
    return differing_fields(client, kind, request, description)


def described(request: dict[str, Any]) -> dict[str, Any]:
    """What Describe says of a job of that request: what nobody gave is filled in."""
    texts: dict[str, Any] = {"EnableNetworkIsolation": False, "EnableManagedSpotTraining": False}
    texts |= copy.deepcopy(request)
    del texts["Tags"]
    texts["TrainingJobStatus"] = "Completed"
    texts["Environment"] |= {"DAGSTER_PIPES_CONTEXT": "another run's"}
    texts["InputDataConfig"][0] |= {"CompressionType": "None", "RecordWrapperType": "None"}
    texts["OutputDataConfig"] |= {"KmsKeyId": "", "CompressionType": "GZIP"}
    texts["AlgorithmSpecification"]["EnableSageMakerMetricsTimeSeries"] = True
    texts["ProfilerConfig"] = {"S3OutputPath": "s3://b/models", "DisableProfiler": False}
    return texts


def test_what_sagemaker_fills_in_is_no_difference() -> None:
    assert differing("training", TRAINING, described(TRAINING)) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"HyperParameters": {"lr": "0.9", "epochs": "3"}}, "HyperParameters.lr: asked for '0.9'"),
        ({"HyperParameters": {"lr": "0.1"}}, "HyperParameters.epochs: asked for nothing"),
        ({"HyperParameters": None}, "HyperParameters.lr: asked for nothing, it has '0.1'"),
        ({"HyperParameters": {**TRAINING["HyperParameters"], "x": "1"}}, "HyperParameters.x"),
        ({"EnableManagedSpotTraining": True}, "EnableManagedSpotTraining: asked for True"),
        ({"OutputDataConfig": {"S3OutputPath": "s3://b/x"}}, "OutputDataConfig.S3OutputPath"),
        ({"InputDataConfig": [CHANNEL, CHANNEL]}, "InputDataConfig: asked for 2, it has 1"),
        ({"InputDataConfig": None}, "InputDataConfig: asked for 0, it has 1"),
        ({"VpcConfig": {"Subnets": ["s-1"], "SecurityGroupIds": []}}, "VpcConfig.Subnets"),
        ({"RoleArn": "arn:aws:iam::123456789012:role/other"}, "RoleArn: asked for"),
    ],
)
def test_what_is_asked_for_otherwise_is_named(change: dict[str, Any], says: str) -> None:
    request = {k: v for k, v in {**TRAINING, **change}.items() if v is not None}
    found = differing("training", request, described(TRAINING))
    assert any(says in line for line in found), found
    # Whoever of the two came first: a member that only the described job has counts as well.
    assert differing("training", TRAINING, described({"InputDataConfig": [{}], **request}))


@pytest.mark.parametrize("member", ["TrainingImage", "ContainerEntrypoint", "TrainingInputMode"])
def test_the_image_and_its_command_count(member: str) -> None:
    other = copy.deepcopy(TRAINING)
    value = other["AlgorithmSpecification"][member]
    other["AlgorithmSpecification"][member] = value[:-1]
    [line] = differing("training", other, described(TRAINING))
    assert line.startswith(f"AlgorithmSpecification.{member}: asked for")


def test_values_of_variables_are_not_shown() -> None:
    other = TRAINING | {"Environment": {"TOKEN": "secret"}}
    assert differing("training", other, described(TRAINING)) == ["Environment.TOKEN: another value"]


def test_processing_and_tuning_jobs_are_compared_too() -> None:
    filled = {"StoppingCondition": {"MaxRuntimeInSeconds": 86_400}, "NetworkConfig": {}}
    assert differing("processing", PROCESSING, {**PROCESSING, **filled}) == []
    other = copy.deepcopy(PROCESSING)
    other["AppSpecification"]["ContainerArguments"] = ["--k", "2"]
    assert differing("processing", other, PROCESSING)
    tuning = {
        "HyperParameterTuningJobName": "tune-1",
        "HyperParameterTuningJobConfig": {"Strategy": "Grid", "ResourceLimits": {}},
        "TrainingJobDefinition": {"StaticHyperParameters": {"lr": "0.1"}},
    }
    reported = copy.deepcopy(tuning)
    reported["TrainingJobDefinition"] = {
        "StaticHyperParameters": {"lr": "0.1", "_tuning_objective_metric": "score"},
        "Environment": {"DAGSTER_PIPES_MESSAGES": "another run's"},
    }
    assert differing("tuning", tuning, reported) == []
    reported["TrainingJobDefinition"]["StaticHyperParameters"]["lr"] = "0.2"
    assert differing("tuning", tuning, reported)
