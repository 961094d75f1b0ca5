"""Training jobs: their API."""

import math
import time
from pathlib import Path
from typing import Any

from tests.testbed import storage
from tests.testbed.jobs import check_role, find, inside, require_running
from tests.testbed.listing import page
from tests.testbed.state import ApiError, State, now
from tests.testbed.training_run import TrainingJob

_MAX_RUNTIME_S = 28 * 24 * 3600
_FLAGS = (
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
)
_SPOT_PRICE = 0.3
"""Part of its time that a spot job is billed for."""


def create(state: State, request: dict[str, Any], *, tuning_job: str = "") -> TrainingJob:
    """Create and start a job.

    Raises:
        ApiError: ResourceInUse for a name that was used; ValidationException.
    """
    check(request)
    name = request["TrainingJobName"]
    with state.lock:
        jobs = state.table("training-job")
        if name in jobs:
            raise ApiError(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a "
                f"training job with this name already exists ({jobs[name].arn})",
            )
        job = TrainingJob(state, name, request)
        job.tuning_job = tuning_job
        state.tag(job.arn, request.get("Tags"))
        _reuse_warm_pool(state, job)
        jobs[name] = job
    state.thread(job.run)
    return job


def _create(state: State, request: dict[str, Any]) -> dict[str, Any]:
    return {"TrainingJobArn": create(state, request).arn}


def check(request: dict[str, Any]) -> None:
    """What the shapes do not say.

    Raises:
        ApiError: ValidationException.
    """
    algorithm = request["AlgorithmSpecification"]
    resources = request.get("ResourceConfig", {})
    stopping = request.get("StoppingCondition", {})
    runtime = stopping.get("MaxRuntimeInSeconds", 24 * 3600)
    wait = stopping.get("MaxWaitTimeInSeconds")
    spot = request.get("EnableManagedSpotTraining", False)
    channels = [channel["ChannelName"] for channel in request.get("InputDataConfig", [])]
    problems = {
        "Exactly one of TrainingImage and AlgorithmName must be given": (
            bool(algorithm.get("TrainingImage")) == bool(algorithm.get("AlgorithmName"))
        ),
        "ResourceConfig must have InstanceType, InstanceCount and VolumeSizeInGB": (
            not {"InstanceType", "InstanceCount", "VolumeSizeInGB"} <= resources.keys()
        ),
        "InstanceCount must be 1 at least": resources.get("InstanceCount", 1) < 1,
        "StoppingCondition is required": not stopping,
        f"MaxRuntimeInSeconds must not be more than {_MAX_RUNTIME_S}": runtime > _MAX_RUNTIME_S,
        "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
        "MaxRuntimeInSeconds": spot and (wait is None or wait < runtime),
        "MaxWaitTimeInSeconds above 0 is only for EnableManagedSpotTraining": (
            not spot and wait is not None
        ),
        "KeepAlivePeriodInSeconds is not supported with managed spot training": (
            spot and bool(resources.get("KeepAlivePeriodInSeconds"))
        ),
        f"Channel names must be unique: {channels}": len(set(channels)) < len(channels),
    }
    for problem, holds in problems.items():
        if holds:
            raise ApiError("ValidationException", problem)
    check_role(request["RoleArn"])
    if "LocalPath" in request.get("CheckpointConfig", {}):
        inside(Path("/"), request["CheckpointConfig"]["LocalPath"])
    for channel in request.get("InputDataConfig", []):
        _check_channel(channel)


def _check_channel(channel: dict[str, Any]) -> None:
    source = channel["DataSource"].get("S3DataSource")
    if source is None:
        raise ApiError("ValidationException", "the stand-in reads channels from S3 only")
    if source["S3DataType"] != "S3Prefix":
        return  # a manifest is read when the job downloads
    try:
        list(storage.source_objects(source))
    except storage.DownloadFailed as error:
        raise ApiError(
            "ValidationException",
            f"{error} given in input data source. Please ensure that the bucket exists in the "
            "selected region, and that objects exist under that S3 prefix.",
        ) from error


def _describe(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        return description(_job(state, request))


def description(job: TrainingJob) -> dict[str, Any]:
    """DescribeTrainingJob's answer."""
    answer = dict.fromkeys(_FLAGS, False) | job.describe_request()
    answer |= {
        "TrainingJobArn": job.arn,
        "ModelArtifacts": {"S3ModelArtifacts": job.model_url},
        "TrainingJobStatus": job.status,
        "SecondaryStatus": job.secondary,
        "SecondaryStatusTransitions": [dict(entry) for entry in job.transitions],
        "FailureReason": job.failure or None,
        "CreationTime": job.created,
        "LastModifiedTime": job.modified,
        "TrainingStartTime": job.began,
        "TrainingEndTime": job.ended,
        "FinalMetricDataList": job.metrics.final() or None,
        "TuningJobArn": job.tuning_job or None,
    }
    if job.began and job.ended:
        spot = job.request.get("EnableManagedSpotTraining")
        # A second is the least that is billed, however fast the machine of the test: of one second
        # a spot job could save nothing.
        seconds = max(2 if spot else 1, math.ceil((job.ended - job.began).total_seconds()))
        answer["TrainingTimeInSeconds"] = seconds
        answer["BillableTimeInSeconds"] = max(1, round(seconds * _SPOT_PRICE)) if spot else seconds
    if _keep_alive(job):
        answer["WarmPoolStatus"] = _warm_pool(job)
    return answer


def _stop(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        job = _job(state, request)
        require_running(job.status, "training")
        job.stop()
    return {}


def _list(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        jobs = list(state.table("training-job").values())
        wanted = request.get("WarmPoolStatusEquals")
        if wanted:
            jobs = [job for job in jobs if _keep_alive(job) and _warm_pool(job)["Status"] == wanted]
        return page(
            request,
            [summary(job) for job in jobs],
            member="TrainingJobSummaries",
            name="TrainingJobName",
            status="TrainingJobStatus",
        )


def summary(job: TrainingJob) -> dict[str, Any]:
    """An entry of ListTrainingJobs."""
    return {
        "TrainingJobName": job.name,
        "TrainingJobArn": job.arn,
        "CreationTime": job.created,
        "TrainingEndTime": job.ended,
        "LastModifiedTime": job.modified,
        "TrainingJobStatus": job.status,
        "SecondaryStatus": job.secondary,
        "WarmPoolStatus": _warm_pool(job) if _keep_alive(job) else None,
    }


def _job(state: State, request: dict[str, Any]) -> TrainingJob:
    name = request["TrainingJobName"]
    return find(state, "training-job", name, "Requested resource not found.")


# --- warm pools: https://docs.aws.amazon.com/sagemaker/latest/dg/train-warm-pools.html -----------


def _keep_alive(job: TrainingJob) -> int:
    return int(job.request["ResourceConfig"].get("KeepAlivePeriodInSeconds", 0))


def _warm_pool(job: TrainingJob) -> dict[str, Any]:
    if job.ended is None:
        return {"Status": "InUse"}
    kept = min(_keep_alive(job), time.time() - job.ended.timestamp())
    if job.reused_by:
        kept = (job.reused_at - job.ended).total_seconds()
        status = "Reused"
    else:
        status = "Available" if kept < _keep_alive(job) else "Terminated"
    answer = {"Status": status, "ResourceRetainedBillableTimeInSeconds": max(0, int(kept))}
    return answer | ({"ReusedByJob": job.reused_by} if job.reused_by else {})


def _pool_key(job: TrainingJob) -> tuple[Any, ...]:
    resources = job.request["ResourceConfig"]
    return (
        resources["InstanceType"],
        resources["InstanceCount"],
        resources["VolumeSizeInGB"],
        job.request["RoleArn"],
        str(job.request.get("VpcConfig")),
        job.request.get("EnableNetworkIsolation", False),
        job.request.get("EnableInterContainerTrafficEncryption", False),
    )


def _reuse_warm_pool(state: State, job: TrainingJob) -> None:
    if job.request.get("EnableManagedSpotTraining"):
        return
    for former in state.table("training-job").values():
        if (
            _keep_alive(former)
            and _warm_pool(former)["Status"] == "Available"
            and _pool_key(former) == _pool_key(job)
        ):
            former.reused_by, former.reused_at = job.name, now()
            return


OPERATIONS = {
    "CreateTrainingJob": _create,
    "DescribeTrainingJob": _describe,
    "StopTrainingJob": _stop,
    "ListTrainingJobs": _list,
}
