"""Requests of CreateTrainingJob and CreateProcessingJob for a job; pure functions.

Members and limits: botocore's service model; meaning:
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTrainingJob.html and
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from errors.base import ImgclfError
from resources.compute.job_spec import JobSpec
from resources.compute.sagemaker.machines import JobResources, TrainingResources

LAUNCHER = ("python", "-m", "training.launcher")
"""The container's command before the job's module: it starts one process per GPU."""

_GPU = re.compile(r"^ml\.(?:g[a-z]*|p)\d")
_OWN_DISK = re.compile(r"^ml\.(?:[a-z]+\d+[a-z]*d[a-z]*|gr?[5-9][a-z]*|p[4-9][a-z0-9-]*|trn\w+)\.")
"""Instances with local NVMe disks, which SageMaker encrypts itself: it refuses VolumeKmsKeyId."""

METRIC_DEFINITIONS = tuple(
    {"Name": name, "Regex": rf"\b{name}=(\S+);"}
    for name in ("train_loss", "val_loss", "val_accuracy", "val_macro_f1")
)
"""SageMaker's metrics of a training job, in the lines that ``training.container.phases`` prints after
each epoch; its console draws them. Others that are not printed stay empty."""

_TRAINING_LONGEST_S = 2_419_200
_PROCESSING_LONGEST_S = 777_600
_RESTARTS = 3


class NotConfigured(ImgclfError, ValueError):
    """A setting is missing; the message names it."""


@dataclass(frozen=True)
class JobSettings:
    """Settings that all jobs of a deployment share; see ``imgclf_dagster.settings.aws``."""

    role_arn: str
    image_uri: str
    gpu_image_uri: str = ""
    kms_key_arn: str = ""
    subnets: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    region: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def image(self, instance_type: str) -> str:
        """Return the container image's URI for an instance type. Raises NotConfigured."""
        gpu = _GPU.match(instance_type) is not None
        image = self.gpu_image_uri if gpu else self.image_uri
        if not image:
            setting = "aws.gpu_image_uri" if gpu else "aws.image_uri"
            raise NotConfigured(f"set {setting}: {instance_type} needs a container image")
        return image


@dataclass(frozen=True)
class JobPlaces:
    """S3 addresses of a job.

    Attributes:
        channels: address of the manifest by channel.
        outputs: below it SageMaker writes ``<job>/output/`` (training), or the files (processing).
        checkpoints: shared by all attempts.
    """

    channels: Mapping[str, str]
    outputs: str
    checkpoints: str


def manifest(prefix_uri: str, relative_keys: Sequence[str]) -> bytes:
    """Build a ManifestFile: SageMaker copies ``<prefix_uri>/<key>`` to ``<channel>/<key>``."""
    return json.dumps([{"prefix": f"{prefix_uri.rstrip('/')}/"}, *relative_keys]).encode()


def training_request(
    spec: JobSpec,
    job_name: str,
    resources: TrainingResources,
    settings: JobSettings,
    places: JobPlaces,
) -> dict[str, Any]:
    """Return the parameters of CreateTrainingJob.

    Args:
        spec: the job.
        job_name: SageMaker's name of this attempt.
        resources: instances, time limits and spot settings.
        settings: what all jobs of the deployment share.
        places: S3 addresses of the job's inputs, outputs and checkpoints.

    Raises:
        NotConfigured: the job role, the image or the security groups are not set.
    """
    limit = _longest_s(spec, resources)
    stopping = {"MaxRuntimeInSeconds": limit}
    if resources.spot:
        wait = limit + (resources.longest_spot_wait_s or 0)
        stopping["MaxWaitTimeInSeconds"] = min(
            max(resources.max_wait_s or wait, limit), _TRAINING_LONGEST_S
        )
    cluster = _cluster(resources, settings)
    if resources.keep_alive_s:
        cluster["KeepAlivePeriodInSeconds"] = resources.keep_alive_s
    request: dict[str, Any] = {
        "TrainingJobName": job_name,
        "AlgorithmSpecification": {
            "TrainingImage": settings.image(resources.instance_type),
            "TrainingInputMode": "File",
            "ContainerEntrypoint": [*LAUNCHER, spec.module],
            "MetricDefinitions": [dict(item) for item in METRIC_DEFINITIONS],
        },
        "RoleArn": _role(settings),
        "HyperParameters": dict(spec.hyperparameters),
        "InputDataConfig": [
            {
                "ChannelName": name,
                "InputMode": "File",
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "ManifestFile",
                        "S3Uri": uri,
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
            for name, uri in places.channels.items()
        ],
        "OutputDataConfig": {"S3OutputPath": places.outputs, **_kms(settings)},
        "ResourceConfig": cluster,
        "StoppingCondition": stopping,
        "CheckpointConfig": {"S3Uri": places.checkpoints, "LocalPath": "/opt/ml/checkpoints"},
        "EnableManagedSpotTraining": resources.spot,
        "EnableInterContainerTrafficEncryption": resources.instance_count > 1,
        "Environment": _environment(spec, settings),
        "RetryStrategy": {"MaximumRetryAttempts": _RESTARTS},
        "Tags": _tags(settings),
    }
    if settings.subnets:
        request["VpcConfig"] = _vpc(settings)
    if not places.channels:
        del request["InputDataConfig"]
    return request


def processing_request(
    spec: JobSpec, job_name: str, resources: JobResources, settings: JobSettings, places: JobPlaces
) -> dict[str, Any]:
    """Return the parameters of CreateProcessingJob.

    Args:
        spec: the job.
        job_name: SageMaker's name of this attempt.
        resources: instances and time limit.
        settings: what all jobs of the deployment share.
        places: S3 addresses of the job's inputs and outputs.

    Raises:
        NotConfigured: the job role, the image or the security groups are not set.
    """
    limit = min(_longest_s(spec, resources), _PROCESSING_LONGEST_S)
    several = resources.instance_count > 1
    network: dict[str, Any] = {"EnableInterContainerTrafficEncryption": several}
    if settings.subnets:
        network["VpcConfig"] = _vpc(settings)
    return {
        "ProcessingJobName": job_name,
        "AppSpecification": {
            "ImageUri": settings.image(resources.instance_type),
            "ContainerEntrypoint": [*LAUNCHER, spec.module],
            **({"ContainerArguments": spec.arguments} if spec.arguments else {}),
        },
        "RoleArn": _role(settings),
        "ProcessingInputs": [
            {
                "InputName": name,
                "S3Input": {
                    "S3Uri": uri,
                    "LocalPath": f"/opt/ml/processing/input/{name}",
                    "S3DataType": "ManifestFile",
                    "S3InputMode": "File",
                    "S3DataDistributionType": "FullyReplicated",
                },
            }
            for name, uri in places.channels.items()
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "output",
                    "S3Output": {
                        "S3Uri": places.outputs,
                        "LocalPath": "/opt/ml/processing/output",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ],
            **_kms(settings),
        },
        "ProcessingResources": {"ClusterConfig": _cluster(resources, settings)},
        "StoppingCondition": {"MaxRuntimeInSeconds": limit},
        "NetworkConfig": network,
        "Environment": _environment(spec, settings),
        "Tags": _tags(settings),
    }


def _longest_s(spec: JobSpec, resources: JobResources) -> int:
    """Return the job's own time limit in seconds if it has one, else that of the settings."""
    own = "max_runtime_s" in spec.model_fields_set
    return spec.max_runtime_s if own else resources.max_runtime_s


def _role(settings: JobSettings) -> str:
    if not settings.role_arn:
        raise NotConfigured("set aws.job_role_arn: jobs need a role")
    return settings.role_arn


def _cluster(resources: JobResources, settings: JobSettings) -> dict[str, Any]:
    cluster: dict[str, Any] = {
        "InstanceType": resources.instance_type,
        "InstanceCount": resources.instance_count,
        "VolumeSizeInGB": resources.volume_gb,
    }
    if settings.kms_key_arn and not _OWN_DISK.match(resources.instance_type):
        cluster["VolumeKmsKeyId"] = settings.kms_key_arn
    return cluster


def _kms(settings: JobSettings) -> dict[str, str]:
    return {"KmsKeyId": settings.kms_key_arn} if settings.kms_key_arn else {}


def _vpc(settings: JobSettings) -> dict[str, list[str]]:
    if not settings.security_group_ids:
        raise NotConfigured("set aws.security_group_ids: jobs in aws.subnets need one at least")
    return {
        "Subnets": list(settings.subnets),
        "SecurityGroupIds": list(settings.security_group_ids),
    }


def _environment(spec: JobSpec, settings: JobSettings) -> dict[str, str]:
    """Return the job's variables and the region, which obstore in the container needs."""
    region = {"AWS_DEFAULT_REGION": settings.region} if settings.region else {}
    return {**region, **spec.environment}


def _tags(settings: JobSettings) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in settings.tags.items()]
