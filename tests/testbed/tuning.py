"""Hyperparameter tuning jobs: children are training jobs, their score is read from the log."""

import hashlib
import logging
import threading
import time
from typing import Any

from tests.testbed import training
from tests.testbed.jobs import POLL_S, check_role, require_running
from tests.testbed.listing import page
from tests.testbed.search_space import choices, problems
from tests.testbed.state import ApiError, State, now
from tests.testbed.training_run import TrainingJob

logger = logging.getLogger(__name__)

_DONE = ("Completed", "Failed", "Stopped")
_COPIED = (
    "RoleArn",
    "InputDataConfig",
    "VpcConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "RetryStrategy",
    "Environment",
)


class TuningJob:
    """A tuning job; ``run`` is its life."""

    def __init__(self, state: State, request: dict[str, Any]) -> None:
        """Created, not started."""
        self.state = state
        self.request = request
        self.name: str = request["HyperParameterTuningJobName"]
        self.arn = state.arn("hyper-parameter-tuning-job", self.name)
        self.config = request["HyperParameterTuningJobConfig"]
        self.definition = request["TrainingJobDefinition"]
        self.objective = self.config["HyperParameterTuningJobObjective"]
        self.status = "InProgress"
        self.failure = ""
        self.created = self.modified = now()
        self.ended: Any = None
        self.children: list[tuple[TrainingJob, dict[str, str]]] = []
        self.stop_asked = threading.Event()

    def run(self) -> None:
        """Start children within the limits, until there are enough."""
        try:
            self._run()
        except ApiError as error:
            self._end("Failed", f"{error.code}: {error}")
        except Exception as error:
            logger.exception("tuning job %s", self.name)
            self._end("Failed", f"InternalServerError: {error!r}")

    def _run(self) -> None:
        limits = self.config["ResourceLimits"]
        most = limits.get("MaxNumberOfTrainingJobs", 500)
        deadline = time.monotonic() + limits.get("MaxRuntimeInSeconds", 30 * 24 * 3600)
        space = choices(self.config, self.definition.get("HyperParameterRanges") or self._ranges())
        more = True
        while True:
            running = [job for job, _ in self.children if job.status not in _DONE]
            if self.stop_asked.is_set() or time.monotonic() > deadline or self._is_good_enough():
                self._stop_children()
                break
            if more and len(self.children) < most:
                if len(running) < limits["MaxParallelTrainingJobs"]:
                    chosen = next(space, None)
                    more = chosen is not None
                    if chosen is not None:
                        self._start_child(chosen)
                    continue
            elif not running:
                break
            time.sleep(POLL_S)
        if self.stop_asked.is_set():
            self._end("Stopped")
        elif self.best() is None:
            self._end("Failed", "All training jobs failed or reported no objective metric")
        else:
            self._end("Completed")

    def _ranges(self) -> dict[str, Any]:
        return self.config.get("ParameterRanges", {})

    def _is_good_enough(self) -> bool:
        criteria = self.config.get("TuningJobCompletionCriteria", {})
        best, target = self.best(), criteria.get("TargetObjectiveMetricValue")
        if best is None or target is None:
            return False
        return self._sign * (self.value(best) or 0.0) >= self._sign * target

    def _start_child(self, chosen: dict[str, str]) -> None:
        number = len(self.children) + 1
        code = hashlib.sha256(f"{self.name}{number}{time.time_ns()}".encode()).hexdigest()[:8]
        name = f"{self.name}-{number:03d}-{code}"
        request = {k: self.definition[k] for k in _COPIED if k in self.definition}
        request["TrainingJobName"] = name
        request["AlgorithmSpecification"] = self.definition["AlgorithmSpecification"]
        request["HyperParameters"] = {
            **self.definition.get("StaticHyperParameters", {}),
            **chosen,
            "_tuning_objective_metric": self.objective["MetricName"],
        }
        checkpoints = self.definition.get("CheckpointConfig")
        if checkpoints:  # each child has a folder of its own, named like it
            url = f"{checkpoints['S3Uri'].rstrip('/')}/{name}/"
            request["CheckpointConfig"] = {**checkpoints, "S3Uri": url}
        job = training.create(self.state, request, tuning_job=self.arn)
        with self.state.lock:
            self.children.append((job, chosen))
            self.modified = now()

    def _stop_children(self) -> None:
        with self.state.lock:
            for job, _ in self.children:
                if job.status == "InProgress":
                    job.stop()
        while any(job.status not in _DONE for job, _ in self.children):
            time.sleep(POLL_S)

    def _end(self, status: str, failure: str = "") -> None:
        with self.state.lock:
            self.status = status
            self.failure = failure[:1024]
            self.ended = self.modified = now()

    # --- scores -------------------------------------------------------------------------------

    @property
    def _sign(self) -> int:
        return 1 if self.objective["Type"] == "Maximize" else -1

    def value(self, job: TrainingJob) -> float | None:
        """The objective of a child, if it is known."""
        return job.metrics.value(self.objective["MetricName"])

    def best(self) -> TrainingJob | None:
        """The best child of those that are completed."""
        scored = [
            (self._sign * value, job)
            for job, _ in self.children
            if job.status == "Completed" and (value := self.value(job)) is not None
        ]
        return max(scored, key=lambda pair: pair[0])[1] if scored else None

    def summary(self, job: TrainingJob) -> dict[str, Any]:
        """An entry of ListTrainingJobsForHyperParameterTuningJob."""
        value = self.value(job)
        waiting = job.status not in _DONE
        state = "Pending" if waiting else "Failed" if value is None else "Succeeded"
        return {
            "TrainingJobName": job.name,
            "TrainingJobArn": job.arn,
            "CreationTime": job.created,
            "TrainingStartTime": job.began,
            "TrainingEndTime": job.ended,
            "TrainingJobStatus": job.status,
            "TunedHyperParameters": next(chosen for j, chosen in self.children if j is job),
            "FailureReason": job.failure or None,
            "ObjectiveStatus": state,
            "FinalHyperParameterTuningJobObjectiveMetric": None
            if value is None
            else {"MetricName": self.objective["MetricName"], "Value": value},
        }


# --- the API ------------------------------------------------------------------------------------


def _create(state: State, request: dict[str, Any]) -> dict[str, Any]:
    _check(request)
    with state.lock:
        jobs = state.table("tuning-job")
        name = request["HyperParameterTuningJobName"]
        if name in jobs:
            raise ApiError(
                "ResourceInUse",
                "Hyperparameter tuning job names must be unique within an AWS account and region, "
                f"and one with this name already exists ({jobs[name].arn})",
            )
        job = jobs[name] = TuningJob(state, request)
        state.tag(job.arn, request.get("Tags"))
    state.thread(job.run)
    return {"HyperParameterTuningJobArn": job.arn}


def _check(request: dict[str, Any]) -> None:
    config = request["HyperParameterTuningJobConfig"]
    definition = request.get("TrainingJobDefinition")
    if definition is None or "HyperParameterTuningJobObjective" not in config:
        raise ApiError(
            "ValidationException",
            "the stand-in tunes one TrainingJobDefinition with a HyperParameterTuningJobObjective",
        )
    ranges = definition.get("HyperParameterRanges") or config.get("ParameterRanges", {})
    found = list(problems(config, ranges))
    metric = config["HyperParameterTuningJobObjective"]["MetricName"]
    metrics = definition["AlgorithmSpecification"].get("MetricDefinitions", [])
    if metric not in [given["Name"] for given in metrics]:
        found.append(f"the objective {metric} is not among MetricDefinitions")
    if config["Strategy"] != "Grid" and "MaxNumberOfTrainingJobs" not in config["ResourceLimits"]:
        found.append("MaxNumberOfTrainingJobs is required")
    if found:
        raise ApiError("ValidationException", "; ".join(found))
    check_role(definition["RoleArn"])
    training.check({**definition, "TrainingJobName": "child"})


def _describe(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        job = _job(state, request)
        best = job.best()
        statuses = [child.status for child, _ in job.children]
        objectives = [job.summary(child)["ObjectiveStatus"] for child, _ in job.children]
        return {k: v for k, v in job.request.items() if k != "Tags"} | {
            "HyperParameterTuningJobArn": job.arn,
            "HyperParameterTuningJobStatus": job.status,
            "CreationTime": job.created,
            "LastModifiedTime": job.modified,
            "HyperParameterTuningEndTime": job.ended,
            "FailureReason": job.failure or None,
            "TrainingJobStatusCounters": {
                "Completed": statuses.count("Completed"),
                "InProgress": statuses.count("InProgress") + statuses.count("Stopping"),
                "RetryableError": 0,
                "NonRetryableError": statuses.count("Failed"),
                "Stopped": statuses.count("Stopped"),
            },
            "ObjectiveStatusCounters": {
                name: objectives.count(name) for name in ("Succeeded", "Pending", "Failed")
            },
            "BestTrainingJob": job.summary(best) if best else None,
        }


def _stop(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        job = _job(state, request)
        require_running(job.status, "tuning")
        job.status = "Stopping"
        job.stop_asked.set()
    return {}


def _list_children(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        job = _job(state, request)
        items = [job.summary(child) for child, _ in job.children]
    if request.get("SortBy") == "FinalObjectiveMetricValue":
        items = [i for i in items if i["FinalHyperParameterTuningJobObjectiveMetric"]]
        for item in items:
            item["FinalObjectiveMetricValue"] = item["FinalHyperParameterTuningJobObjectiveMetric"][
                "Value"
            ]
    answer = page(
        request,
        items,
        member="TrainingJobSummaries",
        name="TrainingJobName",
        status="TrainingJobStatus",
        sort_default=("Name", "Ascending"),
    )
    for item in answer["TrainingJobSummaries"]:
        item.pop("FinalObjectiveMetricValue", None)
    return answer


def _job(state: State, request: dict[str, Any]) -> TuningJob:
    name = request["HyperParameterTuningJobName"]
    jobs = state.table("tuning-job")
    if name not in jobs:
        raise ApiError("ResourceNotFound", f"Amazon SageMaker can't find a tuning job: {name}")
    return jobs[name]


OPERATIONS = {
    "CreateHyperParameterTuningJob": _create,
    "DescribeHyperParameterTuningJob": _describe,
    "StopHyperParameterTuningJob": _stop,
    "ListTrainingJobsForHyperParameterTuningJob": _list_children,
}
