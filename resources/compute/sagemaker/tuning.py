"""A search as a SageMaker tuning job (automatic model tuning).

Its training jobs run the program ``train`` of the container image, as their definition has no
entry point: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_HyperParameterAlgorithmSpecification.html
"""

from collections.abc import Mapping
from typing import Any

from object_store.store import ObjectStore
from resources.aws.errors import error_message, is_permanent
from resources.compute.failures import Context, JobFailed
from resources.compute.pipes import StoreContextInjector
from resources.compute.pipes_tuning import TuningMessageReader
from resources.compute.sagemaker.inputs import bring_inputs
from resources.compute.sagemaker.machines import TrainingResources
from resources.compute.sagemaker.requests import (
    JobPlaces,
    JobSettings,
    NotConfigured,
    training_request,
)
from resources.compute.sagemaker_pipes.client import JobNameTaken, PipesSageMakerClient
from resources.compute.sagemaker_pipes.jobs import JobState, SageMakerJobs
from resources.compute.sagemaker_pipes.reports import failure_of, job_metadata
from resources.compute.search import SearchOutcome, SearchSpec, TrialResult

_DEFINED = (
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "StoppingCondition",
    "CheckpointConfig",
    "EnableManagedSpotTraining",
    "EnableInterContainerTrafficEncryption",
    "Environment",
    "RetryStrategy",
    "VpcConfig",
)
"""Members that a tuning job's definition of its training jobs shares with CreateTrainingJob."""

_CLUSTER = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
"""Members of its ResourceConfig: there are no warm pools for them, as they reuse their machines."""


def tuning_request(
    search: SearchSpec,
    name: str,
    resources: TrainingResources,
    settings: JobSettings,
    places: JobPlaces,
) -> dict[str, Any]:
    """Return the parameters of CreateHyperParameterTuningJob.

    Args:
        search: what is tried.
        name: SageMaker's name of this attempt.
        resources: instances and time limits of each training job.
        settings: what all jobs of the deployment share.
        places: S3 addresses of inputs, outputs and checkpoints.

    Raises:
        NotConfigured: the job role, the image or the security groups are not set.
    """
    training = training_request(search.trial, name, resources, settings, places)
    algorithm = training["AlgorithmSpecification"]
    searched = {item["Name"] for items in search.ranges.values() for item in items}
    definition = {
        "AlgorithmSpecification": {
            key: algorithm[key]
            for key in ("TrainingImage", "TrainingInputMode", "MetricDefinitions")
        },
        "StaticHyperParameters": {
            key: value for key, value in training["HyperParameters"].items() if key not in searched
        },
        "ResourceConfig": {
            key: training["ResourceConfig"][key]
            for key in _CLUSTER
            if key in training["ResourceConfig"]
        },
        **{key: training[key] for key in _DEFINED if key in training},
    }
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": search.metric},
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": search.trials,
                "MaxParallelTrainingJobs": min(search.at_once, search.trials),
                "MaxRuntimeInSeconds": max(120, search.seconds),  # SageMaker's least
            },
            "ParameterRanges": {kind: list(items) for kind, items in search.ranges.items()},
            # Stops what the median of earlier trials was better than, from epoch to epoch.
            "TrainingJobEarlyStoppingType": "Auto",
            "RandomSeed": search.seed,
        },
        "TrainingJobDefinition": definition,
        "Tags": training["Tags"],
    }


def run_search(
    context: Context,
    search: SearchSpec,
    store: ObjectStore,
    clients: tuple[Any, Any],
    settings: JobSettings,
    resources: TrainingResources,
    options: Mapping[str, Any],
) -> SearchOutcome:
    """Run a search to its end, or attach to one that runs.

    Args:
        context: Dagster's.
        search: what is tried.
        store: a bucket.
        clients: boto3's for ``sagemaker`` and ``logs``.
        settings: what all jobs of the deployment share.
        resources: instances and time limits of each training job.
        options: of :class:`PipesSageMakerClient`; and ``messages_s``, seconds between two polls for
            Pipes messages.

    Raises:
        JobFailed: it failed or was stopped, or AWS refused a call.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    jobs, doing = SageMakerJobs(clients[0], "tuning"), f"tuning job {search.trial.name}"
    rest = dict(options)
    messages_s = float(rest.pop("messages_s"))
    try:
        name, state = _newest_attempt(jobs, search.trial.name)
        client = PipesSageMakerClient(
            context_injector=StoreContextInjector(store, name, write=state is None),
            message_reader=TuningMessageReader(store, name, messages_s),
            client=clients[0],
            logs_client=clients[1],
            **rest,
        )
        request: Mapping[str, Any] = {"HyperParameterTuningJobName": name}
        if state is None:
            places = JobPlaces(
                channels=bring_inputs(store, search.trial),
                outputs=store.uri(f"models/{search.trial.name}/trials"),
                checkpoints=store.uri(f"checkpoints/{search.trial.name}"),
            )
            request = tuning_request(search, name, resources, settings, places)
        ended = client.run_to_end(
            context=context, request=request, job_kind="tuning", attach=state is not None
        )
        if failure := failure_of(ended.state):
            reason, retry = failure
            raise JobFailed(f"search {name} failed: {reason}", allow_retries=retry)
        trials = [_trial(summary) for summary in jobs.children(ended.state)]
    except (BotoCoreError, ClientError) as error:
        raise JobFailed(
            error_message(error, doing), allow_retries=not is_permanent(error)
        ) from error
    except (FileNotFoundError, NotConfigured) as error:
        raise JobFailed(f"{doing}: {error}", allow_retries=False) from error
    except JobNameTaken as error:  # launched just now by another orchestrator
        raise JobFailed(f"{doing}: {error.description}", allow_retries=True) from error
    details = job_metadata(jobs, ended.state, rest.get("prices"))
    return SearchOutcome(trials, ended.state.seconds, details)


def _newest_attempt(jobs: SageMakerJobs, name: str) -> tuple[str, JobState | None]:
    """Return the attempt that runs or is complete, or a name for the next one (state ``None``)."""
    number, attempt = 1, name
    while True:
        state = jobs.describe(attempt)
        if state is None or not state.ended or state.status == "Completed":
            return attempt, state
        number += 1
        attempt = f"{name}-{number}"


def _trial(summary: Mapping[str, Any]) -> TrialResult:
    metric = summary.get("FinalHyperParameterTuningJobObjectiveMetric", {})
    return TrialResult(
        name=str(summary["TrainingJobName"]),
        values=dict(summary["TunedHyperParameters"]),
        score=float(metric["Value"]) if "Value" in metric else None,
        status=str(summary["TrainingJobStatus"]),
    )
