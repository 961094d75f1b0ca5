"""SageMaker's three kinds of jobs behind one interface: create, describe, stop and their state.

API: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html and the
pages of the other two kinds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from resources.aws.errors import is_missing

JobKind = Literal["training", "processing", "tuning"]
_ENDED = {"Completed", "Failed", "Stopped"}
_INTERRUPTED = {"Interrupted", "Restarting"}
_WITHOUT_MACHINE = {"Starting", "Pending", "LaunchingMLInstances", *_INTERRUPTED}
_HAS_MACHINE = "Preparing the instances"
"""Beginning of the message of ``Starting`` once there are instances:
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_SecondaryStatusTransition.html"""


@dataclass(frozen=True)
class JobApi:
    """SageMaker's names and limits for one kind of job.

    Attributes:
        noun: the kind in names of operations and fields, such as ``Training`` in
            ``CreateTrainingJob``.
        log_group: CloudWatch's, of the containers' output.
        entries: most environment variables of a job.
        characters: most characters of a variable's value.
        name_characters: most characters of the job's name.
        console: path of the job's page in the AWS console.
    """

    noun: str
    log_group: str
    entries: int
    characters: int
    name_characters: int
    console: str

    @property
    def name_key(self) -> str:
        """The request's member that names the job."""
        return f"{self.noun}JobName"


APIS: Mapping[JobKind, JobApi] = {
    "training": JobApi("Training", "/aws/sagemaker/TrainingJobs", 100, 512, 63, "jobs"),
    "processing": JobApi(
        "Processing", "/aws/sagemaker/ProcessingJobs", 100, 256, 63, "processing-jobs"
    ),
    "tuning": JobApi(
        "HyperParameterTuning", "/aws/sagemaker/TrainingJobs", 48, 512, 32, "hyper-tuning-jobs"
    ),
}
"""Limits: botocore's service model of SageMaker."""


@dataclass(frozen=True)
class Transition:
    """A change of a job's secondary status, such as to Downloading."""

    status: str
    message: str
    started: datetime


@dataclass(frozen=True)
class JobState:
    """One answer of a Describe call.

    Attributes:
        kind: training, processing or tuning.
        name: of the job.
        status: InProgress, Stopping, Completed, Failed or Stopped.
        secondary: SecondaryStatus of a training job, such as Downloading; else ``status``.
        reason: SageMaker's FailureReason.
        exit_message: text that a processing job's container wrote to ``/opt/ml/output/message``.
        transitions: changes of the secondary status, oldest first.
        description: the whole answer.
    """

    kind: JobKind
    name: str
    status: str
    secondary: str
    reason: str
    exit_message: str
    transitions: tuple[Transition, ...]
    description: Mapping[str, Any]

    @property
    def ended(self) -> bool:
        """Whether nothing will happen any more."""
        return self.status in _ENDED

    @property
    def interruptions(self) -> int:
        """How often the job lost its machines (spot) or was restarted by SageMaker."""
        return sum(1 for step in self.transitions if step.status in _INTERRUPTED)

    @property
    def waiting_s(self) -> float:
        """Seconds for which a job that has not ended has been without a machine; 0 if it has one.

        Both ends are by AWS's clock: the answer says when it was given.
        """
        since = None
        for step in reversed(self.transitions):
            if step.status not in _WITHOUT_MACHINE or step.message.startswith(_HAS_MACHINE):
                break
            since = step.started
        if since is None or self.ended:
            return 0.0
        return (self._answered_at - since).total_seconds()

    @property
    def _answered_at(self) -> datetime:
        headers = self.description.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        try:
            return parsedate_to_datetime(headers["date"])
        except (KeyError, TypeError, ValueError):
            return datetime.now(UTC)

    @property
    def output_uri(self) -> str:
        """Where SageMaker puts what the job makes; "" for a job without outputs."""
        if self.kind == "training":
            return str(self.description.get("OutputDataConfig", {}).get("S3OutputPath", ""))
        if self.kind == "processing":
            outputs = self.description.get("ProcessingOutputConfig", {}).get("Outputs", [])
            return str(outputs[0].get("S3Output", {}).get("S3Uri", "")) if outputs else ""
        definition = self.description.get("TrainingJobDefinition", {})
        return str(definition.get("OutputDataConfig", {}).get("S3OutputPath", ""))

    @property
    def cluster(self) -> tuple[str, int]:
        """Instance type and count."""
        config: Mapping[str, Any]
        if self.kind == "processing":
            config = self.description.get("ProcessingResources", {}).get("ClusterConfig", {})
        elif self.kind == "tuning":
            definition = self.description.get("TrainingJobDefinition", {})
            config = definition.get("ResourceConfig", {})
        else:
            config = self.description.get("ResourceConfig", {})
        return str(config.get("InstanceType", "")), int(config.get("InstanceCount", 1))

    @property
    def keep_alive_seconds(self) -> int:
        """How long its machines wait for another job, at most; they are billed meanwhile
        (https://docs.aws.amazon.com/sagemaker/latest/dg/train-warm-pools.html)."""
        resources = self.description.get("ResourceConfig", {})
        return int(resources.get("KeepAlivePeriodInSeconds") or 0)

    @property
    def seconds(self) -> float:
        """Wall time from creation to end; 0 for a job that has not ended."""
        end = self.ended_at
        return (end - self.description["CreationTime"]).total_seconds() if end else 0.0

    @property
    def run_seconds(self) -> float | None:
        """Seconds that the job held its machines, of which spot jobs pay a part."""
        if self.kind == "training":
            return self.description.get("TrainingTimeInSeconds")
        if self.kind == "tuning":
            return self.description.get("ConsumedResources", {}).get("RuntimeInSeconds")
        start, end = self.description.get("ProcessingStartTime"), self.ended_at
        return (end - start).total_seconds() if start and end else None

    @property
    def billable_seconds(self) -> float | None:
        """Seconds to pay for, of each instance; of a tuning job, of all its children together."""
        if self.kind == "training":
            return self.description.get("BillableTimeInSeconds")
        return self.run_seconds

    @property
    def started_at(self) -> datetime | None:
        """When its machines began to work; ``None`` if they have not."""
        keys = ("TrainingStartTime", "ProcessingStartTime")
        return next((self.description[key] for key in keys if key in self.description), None)

    @property
    def ended_at(self) -> datetime | None:
        """When it ended; ``None`` if it has not."""
        keys = ("TrainingEndTime", "ProcessingEndTime", "HyperParameterTuningEndTime")
        found = [self.description[key] for key in keys if key in self.description]
        if not found and self.ended:
            found = [self.description.get("LastModifiedTime")]
        return found[0] if found else None


class SageMakerJobs:
    """The jobs of one kind in an account and region."""

    def __init__(self, client: Any, kind: JobKind) -> None:
        """Prepare; ``client`` is boto3's for ``sagemaker``."""
        self._client, self.kind, self.api = client, kind, APIS[kind]

    def create(self, request: Mapping[str, Any]) -> None:
        """Launch a job. Raises botocore's ClientError."""
        self._call("create")(**request)

    def describe(self, name: str) -> JobState | None:
        """Describe a job in one call; ``None`` if there is none of that name."""
        from botocore.exceptions import ClientError

        try:
            answer = self._call("describe")(**{self.api.name_key: name})
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return state_of(self.kind, answer)

    def stop(self, name: str) -> None:
        """Request that SageMaker stops the job; no error if it has ended already."""
        from botocore.exceptions import ClientError

        try:
            self._call("stop")(**{self.api.name_key: name})
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":
                raise  # else: it is no longer in a state that can be stopped

    def children(self, tuning: JobState) -> list[dict[str, Any]]:
        """List SageMaker's summaries of a tuning job's training jobs, the best first."""
        config = tuning.description["HyperParameterTuningJobConfig"]
        smallest = config.get("HyperParameterTuningJobObjective", {}).get("Type") == "Minimize"
        pages = self._client.get_paginator(
            "list_training_jobs_for_hyper_parameter_tuning_job"
        ).paginate(
            HyperParameterTuningJobName=tuning.name,
            SortBy="FinalObjectiveMetricValue",
            SortOrder="Ascending" if smallest else "Descending",
        )
        return [summary for page in pages for summary in page["TrainingJobSummaries"]]

    def console_url(self, name: str) -> str:
        """Return the URL of the job's page in the AWS console."""
        region = self._client.meta.region_name
        return (
            f"https://{region}.console.aws.amazon.com/sagemaker/home?region={region}"
            f"#/{self.api.console}/{name}"
        )

    def logs_url(self, name: str) -> str:
        """Return the URL of the job's log streams in the CloudWatch console."""
        region = self._client.meta.region_name
        group = self.api.log_group.replace("/", "$252F")
        return (
            f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
            f"#logsV2:log-groups/log-group/{group}$3FlogStreamNameFilter$3D{name}"
        )

    def _call(self, verb: str) -> Any:
        noun = {"HyperParameterTuning": "hyper_parameter_tuning"}.get(
            self.api.noun, self.api.noun.lower()
        )
        return getattr(self._client, f"{verb}_{noun}_job")


def state_of(kind: JobKind, description: Mapping[str, Any]) -> JobState:
    """Convert a Describe call's answer to a state."""
    api = APIS[kind]
    status = str(description[f"{api.noun}JobStatus"])
    return JobState(
        kind=kind,
        name=str(description[api.name_key]),
        status=status,
        secondary=str(description.get("SecondaryStatus", status)),
        reason=str(description.get("FailureReason", "")),
        exit_message=str(description.get("ExitMessage", "")),
        transitions=tuple(
            Transition(step["Status"], step.get("StatusMessage", ""), step["StartTime"])
            for step in description.get("SecondaryStatusTransitions", ())
        ),
        description=description,
    )
