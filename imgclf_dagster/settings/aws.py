"""The settings of profile ``aws``: section ``[aws]`` of ``imgclf.toml``, or ``IMGCLF_AWS__*``."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from resources.compute.sagemaker.machines import JobResources, TrainingResources


class AwsSettings(BaseModel):
    """Where in AWS the line runs. ``imgclf deploy foundation`` fills most of it in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: str = Field("", description="Such as eu-central-1; empty: as the environment says.")
    profile_name: str = Field("", description="A profile of ~/.aws/config; empty: the default.")
    bucket: str = Field("", description="Bucket of the store.")
    prefix: str = Field("", description="Prefix of all keys in the bucket; empty: none.")
    kms_key_arn: str = Field("", description="Key that encrypts objects, disks and captures.")
    job_role_arn: str = Field("", description="Role of training and processing jobs.")
    endpoint_role_arn: str = Field("", description="Role of the endpoints.")
    cloudformation_role_arn: str = Field(
        "", description="CloudFormation's own role; empty: it works under the caller's rights."
    )
    image_uri: str = Field("", description="Container image for jobs and endpoints (CPU).")
    gpu_image_uri: str = Field("", description="The same for instance types with GPUs.")
    package_group: str = Field("", description="Model package group; empty: the project's name.")
    tracking_uri: str = Field(
        "",
        description="ARN of a SageMaker MLflow server or app, or address of any MLflow server, for "
        "the runs of trainings and evaluations; empty: none.",
    )
    arrivals_queue_url: str = Field(
        "", description="SQS queue of the bucket's notifications; empty: the bucket is listed."
    )
    alerts_topic_arn: str = Field("", description="SNS topic that alarms tell.")
    subnets: tuple[str, ...] = Field((), description="Private subnets for jobs; empty: no VPC.")
    security_group_ids: tuple[str, ...] = Field((), description="Security groups, with subnets.")
    stages_dir: Path | None = Field(
        None,
        description="Folder of staging.json and prod.json; empty: those that come with imgclf.",
    )
    poll_s: float = Field(
        10.0, gt=0, le=300, description="Seconds between two looks at a job or a deployment."
    )
    training: TrainingResources = Field(
        TrainingResources(spot=True), description="What training runs on."
    )
    processing: JobResources = Field(JobResources(), description="What evaluation runs on.")

    @field_validator("stages_dir", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @field_validator("tracking_uri")
    @classmethod
    def _is_of_mlflow(cls, uri: str) -> str:
        known = ("http://", "https://", "arn:", "sqlite:///")
        if uri and not uri.startswith(known):
            raise ValueError(
                "it must be the ARN of a SageMaker MLflow server or app (arn:…), or the address of an "
                "MLflow server (https://…)"
            )
        return uri

    @field_validator("prefix")
    @classmethod
    def _bare(cls, prefix: str) -> str:
        return prefix.strip("/")
