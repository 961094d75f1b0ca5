"""The test bed's SageMaker: processing and tuning jobs, lists, tags, the model registry."""

import json

import pytest
from botocore.exceptions import ClientError

from tests.testbed.bed import TestBed
from tests.testbed.examples import (
    log_lines,
    processing_request,
    run_processing,
    run_training,
    training_request,
    wait_tuning,
)

pytestmark = pytest.mark.contract


# --- processing -------------------------------------------------------------------------------


def test_a_processing_job_reads_and_writes_s3(bed: TestBed) -> None:
    bucket = bed.bucket()
    s3 = bed.client("s3")
    s3.put_object(Bucket=bucket, Key="in/deep/a.txt", Body=b"hello")
    s3.put_object(
        Bucket=bucket,
        Key="m",
        Body=json.dumps([{"prefix": f"s3://{bucket}/in/"}, "deep/a.txt"]).encode(),
    )
    code = """
job = json.loads((root / "config/processingjobconfig.json").read_text())
text = (root / "processing/input/listed/deep/a.txt").read_text()
(root / "processing/output/sub").mkdir()
(root / "processing/output/sub/report.json").write_text(json.dumps([text, sys.argv[1:], job["Environment"]]))
(root / "output/message").write_text("all is well " * 200)
print("done", os.environ["WHO"])
"""
    request = processing_request(bed, "process", code, bucket=bucket, Environment={"WHO": "me"})
    request["AppSpecification"]["ContainerArguments"] += ["--seed", "7"]
    given = {
        "S3Uri": f"s3://{bucket}/m",
        "LocalPath": "/opt/ml/processing/input/listed",
        "S3DataType": "ManifestFile",
        "S3InputMode": "File",
    }
    request["ProcessingInputs"] = [{"InputName": "listed", "S3Input": given}]
    found = run_processing(bed, request)
    assert found["ProcessingJobStatus"] == "Completed", found
    assert found["ExitMessage"] == ("all is well " * 200)[:1024]
    assert found["ProcessingEndTime"] >= found["ProcessingStartTime"]
    body = s3.get_object(Bucket=bucket, Key="out/sub/report.json")["Body"].read()
    assert json.loads(body) == ["hello", ["--seed", "7"], {"WHO": "me"}]
    assert log_lines(bed, "ProcessingJobs", "process") == [["done me"]]
    with pytest.raises(ClientError, match="already exists"):
        bed.client("sagemaker").create_processing_job(**request)


def test_a_processing_job_that_fails_or_is_stopped(bed: TestBed) -> None:
    code = "(root / 'output/message').write_text('why'); sys.exit(2)"
    found = run_processing(bed, processing_request(bed, "process-fails", code))
    assert found["ProcessingJobStatus"] == "Failed"
    assert found["FailureReason"].endswith("exit code: 2")
    assert found["ExitMessage"] == "why"
    sagemaker = bed.client("sagemaker")
    sagemaker.create_processing_job(**processing_request(bed, "process-stops", "time.sleep(3600)"))
    sagemaker.stop_processing_job(ProcessingJobName="process-stops")
    with pytest.raises(ClientError, match="already exists"):
        run_processing(bed, processing_request(bed, "process-stops"))
    listed = sagemaker.list_processing_jobs(NameContains="process-", SortBy="Name")
    names = [entry["ProcessingJobName"] for entry in listed["ProcessingJobSummaries"]]
    assert names == ["process-stops", "process-fails"]


# --- tuning -----------------------------------------------------------------------------------


def _tuning_request(bed: TestBed, name: str, **config: object) -> dict:
    """Children whose score is minus the distance of ``rate`` from 0.5; they run as ``IMAGE train``."""
    training = training_request(bed, "child")
    definition = {
        k: training[k]
        for k in ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition")
    }
    definition["AlgorithmSpecification"] = {
        "TrainingImage": "image",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "score", "Regex": "score=(-?[0-9.e-]+)"}],
    }
    definition["StaticHyperParameters"] = {"epochs": "1"}
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {
                "ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0", "MaxValue": "1"}],
                "CategoricalParameterRanges": [{"Name": "net", "Values": ["small", "large"]}],
            },
            **config,
        },
        "TrainingJobDefinition": definition,
    }


_CHILD = """
import json, os, sys
p = json.load(open(os.environ["IMGCLF_ML_ROOT"] + "/input/config/hyperparameters.json"))
assert sys.argv[1:] == ["train"] and p["_tuning_objective_metric"] == "score" and p["epochs"] == "1"
print("score=%f" % -abs(float(p.get("rate", 0)) - 0.5))
"""


@pytest.fixture
def _image_of_children(bed: TestBed) -> object:
    path = bed.folder / "child.py"
    path.write_text(_CHILD)
    bed.settings(image_entrypoint=["python", str(path)])
    yield
    bed.settings(image_entrypoint=None)


@pytest.mark.usefixtures("_image_of_children")
def test_a_tuning_job_finds_its_best_child(bed: TestBed) -> None:
    sagemaker = bed.client("sagemaker")
    sagemaker.create_hyper_parameter_tuning_job(**_tuning_request(bed, "tune"))
    found = wait_tuning(bed, "tune")
    assert found["HyperParameterTuningJobStatus"] == "Completed", found
    assert found["TrainingJobStatusCounters"]["Completed"] == 4
    assert found["ObjectiveStatusCounters"]["Succeeded"] == 4
    children = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="tune",
        SortBy="FinalObjectiveMetricValue",
        SortOrder="Descending",
        MaxResults=3,
    )
    best = children["TrainingJobSummaries"][0]
    assert len(children["TrainingJobSummaries"]) == 3
    assert children["NextToken"]
    assert found["BestTrainingJob"]["TrainingJobName"] == best["TrainingJobName"]
    score = best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    assert score == pytest.approx(-abs(float(best["TunedHyperParameters"]["rate"]) - 0.5), abs=1e-5)
    child = sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert child["TuningJobArn"] == found["HyperParameterTuningJobArn"]
    assert child["HyperParameters"]["net"] in ("small", "large")


@pytest.mark.usefixtures("_image_of_children")
def test_a_grid_is_tried_whole(bed: TestBed) -> None:
    ranges = {"CategoricalParameterRanges": [{"Name": "rate", "Values": ["0.1", "0.5", "0.9"]}]}
    request = _tuning_request(
        bed,
        "grid",
        Strategy="Grid",
        ParameterRanges=ranges,
        ResourceLimits={"MaxParallelTrainingJobs": 3},
    )
    bed.client("sagemaker").create_hyper_parameter_tuning_job(**request)
    found = wait_tuning(bed, "grid")
    assert found["TrainingJobStatusCounters"]["Completed"] == 3
    assert found["BestTrainingJob"]["TunedHyperParameters"] == {"rate": "0.5"}


def test_a_tuning_job_beyond_a_limit(bed: TestBed) -> None:
    create = bed.client("sagemaker").create_hyper_parameter_tuning_job
    with pytest.raises(ClientError, match="less than or equal to 32"):
        create(**_tuning_request(bed, "x" * 33))
    request = _tuning_request(bed, "refused")
    request["TrainingJobDefinition"]["Environment"] = {f"A{i}": "" for i in range(49)}
    with pytest.raises(ClientError, match="less than or equal to 48"):
        create(**request)
    request = _tuning_request(bed, "refused")
    request["TrainingJobDefinition"]["AlgorithmSpecification"].pop("MetricDefinitions")
    with pytest.raises(ClientError, match="not among MetricDefinitions"):
        create(**request)


# --- lists and tags ---------------------------------------------------------------------------


def test_lists_come_in_pages_and_tags_are_kept(bed: TestBed) -> None:
    sagemaker = bed.client("sagemaker")
    bucket = bed.bucket()
    tags = [{"Key": "project", "Value": "imgclf"}]
    for number in range(3):
        request = training_request(bed, f"page-{number}", bucket=bucket, Tags=tags)
        found = run_training(bed, request)
    pages = list(
        sagemaker.get_paginator("list_training_jobs").paginate(
            NameContains="PAGE-", StatusEquals="Completed", PaginationConfig={"PageSize": 2}
        )
    )
    names = [[e["TrainingJobName"] for e in p["TrainingJobSummaries"]] for p in pages]
    assert names == [["page-2", "page-1"], ["page-0"]]
    arn = found["TrainingJobArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "cost", "Value": "1"}])
    listed = sagemaker.list_tags(ResourceArn=arn)["Tags"]
    assert listed == [*tags, {"Key": "cost", "Value": "1"}]


# --- registry ---------------------------------------------------------------------------------


def _package(group: str, **more: object) -> dict:
    container = {"Image": "image", "ModelDataUrl": "s3://bucket/model.tar.gz"}
    specification = {
        "Containers": [container],
        "SupportedContentTypes": ["image/jpeg"],
        "SupportedResponseMIMETypes": ["application/json"],
    }
    return {"ModelPackageGroupName": group, "InferenceSpecification": specification, **more}


def test_the_registry_keeps_what_it_is_given(bed: TestBed) -> None:
    sagemaker = bed.client("sagemaker")
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.create_model_package(**_package("zoo"))
    sagemaker.create_model_package_group(ModelPackageGroupName="zoo")
    with pytest.raises(ClientError, match="already exists"):
        sagemaker.create_model_package_group(ModelPackageGroupName="zoo")
    first = _package(
        "zoo", ClientToken="t-1", CustomerMetadataProperties={"digest": "abc", "x": "1"}
    )
    arn = sagemaker.create_model_package(**first)["ModelPackageArn"]
    assert arn.endswith(":model-package/zoo/1")
    assert sagemaker.create_model_package(**first)["ModelPackageArn"] == arn
    second = sagemaker.create_model_package(**_package("zoo"))["ModelPackageArn"]
    assert second.endswith("/2")
    with pytest.raises(ClientError, match="ClientToken"):
        sagemaker.create_model_package(**_package("zoo", ClientToken="t-1"))
    sagemaker.update_model_package(
        ModelPackageArn=arn,
        ModelApprovalStatus="Approved",
        ApprovalDescription="better by 2 %",
        CustomerMetadataProperties={"approver": "ada"},
        CustomerMetadataPropertiesToRemove=["x"],
    )
    found = sagemaker.describe_model_package(ModelPackageName=arn)
    assert found["CustomerMetadataProperties"] == {"digest": "abc", "approver": "ada"}
    assert (found["ModelApprovalStatus"], found["ApprovalDescription"]) == (
        "Approved",
        "better by 2 %",
    )
    identity = bed.client("sts").get_caller_identity()["Arn"]
    assert found["LastModifiedBy"]["IamIdentity"]["Arn"] == identity
    assert "LastModifiedTime" not in sagemaker.describe_model_package(ModelPackageName=second)

    def listed(**more: object) -> list[int]:
        answer = sagemaker.list_model_packages(ModelPackageGroupName="zoo", **more)
        return [entry["ModelPackageVersion"] for entry in answer["ModelPackageSummaryList"]]

    assert listed(SortOrder="Descending") == [2, 1]
    assert listed(ModelApprovalStatus="Approved") == [1]
    assert sagemaker.list_model_packages()["ModelPackageSummaryList"] == []
    with pytest.raises(ClientError, match="still has model packages"):
        sagemaker.delete_model_package_group(ModelPackageGroupName="zoo")
    sagemaker.delete_model_package(ModelPackageName=second)
    third = sagemaker.create_model_package(**_package("zoo"))["ModelPackageArn"]
    assert third.endswith("/3")
