"""The compute port on SageMaker: training and processing jobs, with Dagster Pipes through S3."""

from typing import Any

from pydantic import BaseModel, ValidationInfo, field_validator

from resources.aws.session import AwsSession
from resources.compute.compute import Compute, JobResult
from resources.compute.failures import Context, JobFailed
from resources.compute.job_spec import JobSpec
from resources.compute.sagemaker.attempt import SageMakerAttempt
from resources.compute.sagemaker.machines import JobResources, TrainingResources
from resources.compute.sagemaker.requests import JobSettings
from resources.compute.sagemaker.tuning import run_search
from resources.compute.search import SearchOutcome, SearchSpec

_RESOURCES: dict[str, type[JobResources]] = {
    "training": TrainingResources,
    "processing": JobResources,
}
_JOB_LINK_KEYS = ("SageMaker job", "SageMaker console", "CloudWatch logs")


class SageMakerCompute(Compute):
    """Runs jobs on SageMaker; the store is a bucket.

    :class:`imgclf_dagster.settings.aws.AwsSettings` documents the settings behind the attributes.

    Attributes:
        session: the account and region.
        job_role_arn: what the jobs may do.
        image_uri: container image; ``gpu_image_uri`` is that for instance types with GPUs.
        training: :class:`TrainingResources` as a dict, which Dagster's config can hold.
        processing: :class:`JobResources` of processing jobs, as a dict.
        project: tag of every job; ``tags`` are more.
        prices: US dollars an hour by instance type, before the list prices of ``costs.py``.
        poll_min_s: shortest pause between two polls of a job, in seconds.
        poll_max_s: longest pause.
        messages_s: seconds between two looks for Pipes messages, and between two uploads: each
            costs a request of S3.
        forward_termination: stop the job when Dagster's run is cancelled, or ended for good.
    """

    session: AwsSession
    job_role_arn: str
    image_uri: str
    gpu_image_uri: str = ""
    kms_key_arn: str = ""
    subnets: list[str] = []
    security_group_ids: list[str] = []
    training: dict[str, Any] = {}
    processing: dict[str, Any] = {}
    project: str = "imgclf"
    tags: dict[str, str] = {}
    prices: dict[str, float] = {}
    poll_min_s: float = 1.0
    poll_max_s: float = 10.0
    messages_s: float = 2.0
    forward_termination: bool = True

    @field_validator("training", "processing", mode="before")
    @classmethod
    def _as_dict(cls, value: Any, info: ValidationInfo) -> Any:
        """Convert resources to a dict. Raises ValidationError if they are not valid."""
        values = value.model_dump() if isinstance(value, BaseModel) else value
        return _RESOURCES[info.field_name or ""].model_validate(values).model_dump()

    @field_validator("subnets", "security_group_ids", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return list(value) if isinstance(value, tuple) else value

    def run(self, context: Context, spec: JobSpec) -> JobResult:
        """Run a job on SageMaker; see :meth:`Compute.run`.

        A cancelled run stops the job. A run whose process was killed or stopped leaves it running;
        the next run attaches to it.
        """
        if result := self._reused(context, spec):
            return result
        session: AwsSession = self.session
        sagemaker = session.client("sagemaker")
        attempt = SageMakerAttempt(
            context,
            spec,
            self._objects,
            (sagemaker, session.client("logs")),
            self._settings(sagemaker.meta.region_name),
            _RESOURCES[spec.kind].model_validate(getattr(self, spec.kind)),
            {
                "poll_s": (self.poll_min_s, self.poll_max_s),
                "messages_s": self.messages_s,
                "forward_termination": self.forward_termination,
                "prices": self.prices,
            },
        )
        attempt.run()
        result = self._result(spec.name, reused=attempt.reused, reattached=attempt.reattached)
        if result is None:
            raise JobFailed(f"the record of job {spec.name} vanished from {self._objects.url}")
        return result

    @property
    def runs_trials_as_jobs(self) -> bool:
        """SageMaker tunes models on several machines at once."""
        return True

    def search(self, context: Context, search: SearchSpec) -> SearchOutcome:
        """Run a search as a tuning job; see :meth:`Compute.search`."""
        session: AwsSession = self.session
        sagemaker = session.client("sagemaker")
        return run_search(
            context,
            search,
            self._objects,
            (sagemaker, session.client("logs")),
            self._settings(sagemaker.meta.region_name),
            TrainingResources.model_validate(self.training),
            {
                "poll_s": (self.poll_min_s, self.poll_max_s),
                "messages_s": self.messages_s,
                "forward_termination": self.forward_termination,
                "prices": self.prices,
            },
        )

    @property
    def training_machine(self) -> str:
        """Type and number of the instances of training jobs."""
        resources = TrainingResources.model_validate(self.training)
        return f"{resources.instance_count} {resources.instance_type}"

    def _result(self, name: str, *, reused: bool, reattached: bool = False) -> JobResult | None:
        """Return the result; of a reused job only the links, since it cost this run nothing."""
        result = super()._result(name, reused=reused, reattached=reattached)
        if result and reused:
            for key in result.details.keys() - set(_JOB_LINK_KEYS):
                del result.details[key]
        return result

    def _settings(self, region: str) -> JobSettings:
        return JobSettings(
            role_arn=self.job_role_arn,
            image_uri=self.image_uri,
            gpu_image_uri=self.gpu_image_uri,
            kms_key_arn=self.kms_key_arn,
            subnets=tuple(self.subnets),
            security_group_ids=tuple(self.security_group_ids),
            region=region,
            tags={"imgclf:project": self.project, **self.tags},
        )
