"""What ``imgclf doctor`` looks at on profile ``aws``: whatever a run would find out after paying."""

from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from imgclf_dagster.doctor_findings import Finding, Health
from imgclf_dagster.profile_aws import REQUIRED, build_session, build_store
from imgclf_dagster.settings import Settings, deployed_file

CLOCK_WARNING_S = 60.0
CLOCK_LIMIT_S = 300.0
"""AWS refuses a request signed more than five minutes off its own clock
(https://docs.aws.amazon.com/IAM/latest/UserGuide/signing-elements.html)."""

FOUNDATION = "run `imgclf deploy foundation`"


def examine_aws(settings: Settings) -> Iterator[Finding]:
    """Look at the account; ends early where nothing further can be asked."""
    missing = [f"aws.{name}" for name in REQUIRED if not getattr(settings.aws, name)]
    if missing:
        yield Finding("aws settings", "failed", f"not set: {', '.join(missing)}", FOUNDATION)
    else:
        yield Finding("aws settings", "ok", f"complete ({deployed_file()} and imgclf.toml)")
    client = build_session(settings).client
    identity = yield from _credentials(client)
    if identity is None or missing:
        return
    looks: tuple[Callable[[Any, Settings, str], Iterator[Finding]], ...] = (
        _bucket,
        _queue,
        _key,
        _package_group,
        _image,
        _permissions,
        _quotas,
        _endpoints,
    )
    for look in looks:
        name = look.__name__.strip("_").replace("_", " ")
        try:
            yield from look(client, settings, identity)
        except Exception as error:  # noqa: BLE001 - a doctor reports whatever it meets
            yield Finding(name, "warning", _told(error, name), "see the remedy in the message")


def _told(error: Exception, doing: str) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    from resources.aws.errors import told

    if isinstance(error, ClientError | BotoCoreError):
        return told(error, doing)
    return f"{type(error).__name__}: {error}"


def _credentials(client: Callable[[str], Any]) -> Generator[Finding, None, str | None]:
    """Who asks, where, and whether the clock is right; returns the caller's ARN."""
    try:
        sts = client("sts")
        answer = sts.get_caller_identity()
    except Exception as error:  # noqa: BLE001 - no region, no credentials, no network …
        yield Finding("aws credentials", "failed", _told(error, "GetCallerIdentity"))
        return None
    arn: str = answer["Arn"]
    yield Finding("aws credentials", "ok", f"{arn} in {sts.meta.region_name}")
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if date:
        off = abs((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())
        health: Health = (
            "ok" if off < CLOCK_WARNING_S else "warning" if off < CLOCK_LIMIT_S else "failed"
        )
        remedy = "" if health == "ok" else "set this machine's clock (timedatectl set-ntp true)"
        yield Finding("clock", health, f"{off:.0f} s off AWS's", remedy)
    return arn


def _bucket(client: Any, settings: Settings, identity: str) -> Iterator[Finding]:
    from resources.store_errors import StoreError, StoreMissing

    bucket, s3 = settings.aws.bucket, client("s3")
    region = s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"].get(
        "x-amz-bucket-region", s3.meta.region_name
    )
    if region != s3.meta.region_name:
        yield Finding(
            "bucket",
            "failed",
            f"{bucket} is in {region}, and jobs would run in {s3.meta.region_name}",
            "set aws.region to the bucket's",
        )
    try:
        build_store(settings).require()
        yield Finding("store", "ok", build_store(settings).url)
    except StoreMissing:
        yield Finding("store", "ok", "not made yet; the first ingest, run or up makes it")
    except StoreError as error:
        yield Finding("store", "failed", str(error))
    try:
        shut = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    except Exception:  # noqa: BLE001 - there is none, or one may not ask
        shut = {}
    if not (shut and all(shut.values())):
        yield Finding(
            "bucket", "warning", f"{bucket} may not block public access", f"{FOUNDATION} again"
        )
    else:
        yield Finding("bucket", "ok", f"{bucket} blocks public access")


def _queue(client: Any, settings: Settings, identity: str) -> Iterator[Finding]:
    url = settings.aws.arrivals_queue_url
    if not url:
        yield Finding(
            "arrivals",
            "ok",
            "the bucket is listed at each look (aws.arrivals_queue_url is not set)",
        )
        return
    asked = ["ApproximateNumberOfMessages", "RedrivePolicy"]
    told = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=asked)["Attributes"]
    waiting = f"{told['ApproximateNumberOfMessages']} messages wait in {url.rpartition('/')[2]}"
    configured = client("s3").get_bucket_notification_configuration(Bucket=settings.aws.bucket)
    if not configured.get("QueueConfigurations") and "EventBridgeConfiguration" not in configured:
        remedy = f"{FOUNDATION} again, or empty aws.arrivals_queue_url"
        yield Finding("arrivals", "failed", "the bucket notifies no queue", remedy)
    elif "RedrivePolicy" not in told:
        yield Finding("arrivals", "warning", f"{waiting}; it has no dead-letter queue", FOUNDATION)
    else:
        yield Finding("arrivals", "ok", waiting)


def _key(client: Any, settings: Settings, identity: str) -> Iterator[Finding]:
    arn = settings.aws.kms_key_arn
    if not arn:
        yield Finding("encryption", "ok", "the bucket's own (aws.kms_key_arn is not set)")
        return
    key = client("kms").describe_key(KeyId=arn)["KeyMetadata"]
    if key["Enabled"]:
        yield Finding("encryption", "ok", arn)
    else:
        remedy = f"aws kms enable-key --key-id {arn}"
        yield Finding("encryption", "failed", f"{arn} is {key['KeyState']}", remedy)


def _package_group(client: Any, settings: Settings, identity: str) -> Iterator[Finding]:
    from botocore.exceptions import ClientError

    from resources.aws.errors import is_missing

    name = settings.aws.package_group or settings.project
    try:
        client("sagemaker").describe_model_package_group(ModelPackageGroupName=name)
        yield Finding("package group", "ok", name)
    except ClientError as error:
        if not is_missing(error):
            raise
        yield Finding("package group", "warning", f"{name} is not there yet", FOUNDATION)


def _image(client: Any, settings: Settings, identity: str) -> Iterator[Finding]:
    from botocore.exceptions import ClientError

    for uri in filter(None, (settings.aws.image_uri, settings.aws.gpu_image_uri)):
        parts = urlsplit(f"//{uri}")
        if ".dkr.ecr." not in parts.netloc:
            yield Finding("image", "warning", f"{uri} is not in ECR", "SageMaker takes ECR images")
            continue
        name, _, tag = parts.path.strip("/").partition("@")
        name, _, label = name.partition(":")
        wanted = {"imageDigest": tag} if tag else {"imageTag": label or "latest"}
        try:
            client("ecr").describe_images(
                registryId=parts.netloc.partition(".")[0], repositoryName=name, imageIds=[wanted]
            )
            yield Finding("image", "ok", uri)
        except ClientError as error:
            if error.response["Error"]["Code"] not in {
                "ImageNotFoundException",
                "RepositoryNotFoundException",
            }:
                raise
            yield Finding("image", "failed", f"{uri} is not there", "see `imgclf deploy image`")


def _permissions(client: Any, settings: Settings, identity: str) -> Iterator[Finding]:
    from imgclf_dagster.doctor_permissions import denied_permissions

    yield from denied_permissions(client, settings, identity)


def _quotas(client: Any, settings: Settings, identity: str) -> Iterator[Finding]:
    from imgclf_dagster.doctor_quotas import short_quotas

    yield from short_quotas(client, settings)


def _endpoints(client: Any, settings: Settings, identity: str) -> Iterator[Finding]:
    from imgclf_dagster.definitions import build_endpoints
    from resources.store_errors import StoreMissing
    from serving.deployments import STAGES

    endpoints = build_endpoints(settings)
    for stage in STAGES:
        try:
            status = endpoints.describe(stage)
        except StoreMissing:
            return
        if status.failure_reason:
            remedy = (
                f"materialize {stage}_endpoint for the recorded model again, or imgclf rollback"
            )
            yield Finding(status.name, "failed", status.failure_reason, remedy)
        else:
            yield Finding(
                status.name, "ok", f"{status.status} {status.model_version or ''}".strip()
            )
