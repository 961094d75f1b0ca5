"""The adapters of profile ``aws``, built from the settings. Imported only with that profile."""

from imgclf_dagster.settings.root import Settings, SettingsError, settings_file
from object_store.store import ObjectStore
from resources.arrivals.arrivals import Arrivals, NoArrivals
from resources.arrivals.sqs import SqsArrivals
from resources.aws.session import AwsSession
from resources.compute.sagemaker.compute import SageMakerCompute
from resources.endpoints.sagemaker import SageMakerEndpoints
from resources.registry.sagemaker import SageMakerRegistry

REQUIRED = ("bucket", "job_role_arn", "endpoint_role_arn", "image_uri")


def missing_settings(settings: Settings) -> list[str]:
    """Return the names of required settings that are not set, such as ``aws.bucket``."""
    return [f"aws.{name}" for name in REQUIRED if not getattr(settings.aws, name)]


def require_settings(settings: Settings) -> None:
    """Make sure that all required settings are set.

    Raises:
        SettingsError: some are not; the message names them and the remedy.
    """
    missing = missing_settings(settings)
    if missing:
        raise SettingsError(
            f"profile aws needs {', '.join(missing)}: run `imgclf deploy "
            f"foundation`, which writes what it makes, or set them under [aws] in {settings_file()}"
        )


def build_session(settings: Settings) -> AwsSession:
    """Return the session for the account and region of the settings."""
    return AwsSession(region=settings.aws.region, profile_name=settings.aws.profile_name)


def store_url(settings: Settings) -> str:
    """Return the store's URL, ``s3://<bucket>/<prefix>``."""
    return f"s3://{settings.aws.bucket}/{settings.aws.prefix}".rstrip("/")


def build_store(settings: Settings) -> ObjectStore:
    """Return the store in the bucket.

    Raises:
        SettingsError: a required setting is not set.
    """
    require_settings(settings)
    return ObjectStore(
        url=store_url(settings),
        region=settings.aws.region,
        profile_name=settings.aws.profile_name,
        kms_key_arn=settings.aws.kms_key_arn,
    )


def build_arrivals(settings: Settings) -> Arrivals:
    """Return the queue of the bucket's notifications, or ``NoArrivals`` without one."""
    aws = settings.aws
    if not aws.arrivals_queue_url:
        return NoArrivals()
    # Fewer attempts than elsewhere: a tick has 60 s, and the next one tries again.
    session = AwsSession(
        region=aws.region, profile_name=aws.profile_name, max_attempts=4, read_timeout_s=15
    )
    return SqsArrivals(
        session=session,
        queue_url=aws.arrivals_queue_url,
        bucket=aws.bucket,
        prefix=aws.prefix,
    )


def build_compute(settings: Settings, store: ObjectStore) -> SageMakerCompute:
    """Return the adapter for SageMaker's jobs."""
    aws = settings.aws
    return SageMakerCompute(
        session=build_session(settings),
        store=store,
        project=settings.project,
        job_role_arn=aws.job_role_arn,
        image_uri=aws.image_uri,
        gpu_image_uri=aws.gpu_image_uri,
        kms_key_arn=aws.kms_key_arn,
        subnets=list(aws.subnets),
        security_group_ids=list(aws.security_group_ids),
        tags=tags(settings),
        training=aws.training.model_dump(),
        processing=aws.processing.model_dump(),
    )


def build_registry(settings: Settings, store: ObjectStore) -> SageMakerRegistry:
    """Return the adapter for SageMaker's model registry."""
    return SageMakerRegistry(
        session=build_session(settings),
        store=store,
        project=settings.project,
        image_uri=settings.aws.image_uri,
        package_group=settings.aws.package_group,
        tracking_uri=settings.aws.tracking_uri,
    )


def build_endpoints(
    settings: Settings, store: ObjectStore, session: AwsSession | None = None
) -> SageMakerEndpoints:
    """Return the adapter for SageMaker's endpoints, with one stack per stage.

    Args:
        settings: the user's settings.
        store: holds models and deployment records.
        session: makes boto3 clients; ``None`` for one by the settings.
    """
    aws = settings.aws
    return SageMakerEndpoints(
        session=session or build_session(settings),
        store=store,
        project=settings.project,
        image_uri=aws.image_uri,
        execution_role_arn=aws.endpoint_role_arn,
        cloudformation_role_arn=aws.cloudformation_role_arn,
        stages_dir=str(aws.stages_dir or ""),
        parameters={
            "KmsKeyId": aws.kms_key_arn,
            "AlertsTopicArn": aws.alerts_topic_arn,
            "SubnetIds": ",".join(aws.subnets),
            "SecurityGroupIds": ",".join(aws.security_group_ids),
            **_serving_limits(settings),
        },
        tags=tags(settings),
        poll_s=aws.poll_s,
    )


def _serving_limits(settings: Settings) -> dict[str, str]:
    """Return the stack's parameter for limits of requests, if they differ from the defaults."""
    limits = settings.serving.model_dump_json(exclude_defaults=True)
    return {"ServingLimits": limits} if limits != "{}" else {}


def tags(settings: Settings) -> dict[str, str]:
    """Return the tags of everything that the line creates, for cost allocation."""
    return {"imgclf:project": settings.project, "imgclf:managed-by": "imgclf-dagster"}
