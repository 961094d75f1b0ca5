"""The doctor's checks of SageMaker (model registry, endpoints) and of the container images."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from imgclf_dagster.doctor.aws_account import FOUNDATION, Account, finding_of_error
from imgclf_dagster.doctor.findings import Finding
from imgclf_dagster.profiles.aws import build_endpoints, build_store, missing_settings
from object_store.errors import StoreError
from resources.aws.errors import error_code, is_missing
from resources.endpoints.endpoint_host import HostUnavailable
from serving.deployments import STAGES, endpoint_name


@dataclass(frozen=True)
class Image:
    """An image in ECR: ``<account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>``."""

    account: str
    region: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, uri: str) -> "Image | None":
        """Parse an image URI; ``None`` if it is not in ECR."""
        parts = urlsplit(f"//{uri}")
        host = parts.netloc.split(".")
        if len(host) < 5 or host[1:3] != ["dkr", "ecr"]:
            return None
        name, _, digest = parts.path.strip("/").partition("@")
        repository, _, tag = name.partition(":")
        return cls(host[0], host[3], repository, tag or ("" if digest else "latest"), digest)


def look_at_images(account: Account) -> Iterator[Finding]:
    """Check that the images are in ECR, in the right region and format."""
    aws = account.settings.aws
    for uri in dict.fromkeys(filter(None, (aws.image_uri, aws.gpu_image_uri))):
        yield _image(account, uri)


def _image(account: Account, uri: str) -> Finding:
    from botocore.exceptions import ClientError

    from imgclf_dagster.cloud.container_image import MANIFEST_TYPE, format_remedy, refused_format

    image = Image.parse(uri)
    if image is None:
        remedy = "push it to a repository there (docs/aws.md), and set its address"
        return Finding("image", "failed", f"{uri} is not in ECR; SageMaker takes no other", remedy)
    if image.region != account.region:
        remedy = f"push it to ECR in {account.region}, or set aws.region"
        detail = f"{uri} is in {image.region}, and jobs would run in {account.region}"
        return Finding("image", "failed", detail, remedy)
    wanted = {"imageDigest": image.digest} if image.digest else {"imageTag": image.tag}
    try:
        answer = account.client("ecr").describe_images(
            registryId=image.account, repositoryName=image.repository, imageIds=[wanted]
        )
    except ClientError as error:
        if error_code(error) in {"ImageNotFoundException", "RepositoryNotFoundException"}:
            remedy = f"build and push it (docs/aws.md); the repository comes first: {FOUNDATION}"
            return Finding("image", "failed", f"{uri} is not there", remedy)
        return finding_of_error("image", error)
    if kind := refused_format(answer):
        detail = f"{uri} is {kind}; SageMaker's endpoints take {MANIFEST_TYPE} only"
        return Finding("image", "failed", detail, format_remedy(uri))
    return Finding("image", "ok", uri)


def look_at_sagemaker(account: Account) -> Iterator[Finding]:
    """Check that SageMaker answers, the package group exists, and endpoints serve their records."""
    from botocore.exceptions import ClientError

    name = account.settings.aws.package_group or account.settings.project
    try:
        account.client("sagemaker").describe_model_package_group(ModelPackageGroupName=name)
        yield Finding("package group", "ok", name)
    except ClientError as error:
        if is_missing(error):
            remedy = f"{FOUNDATION}, or let the first registration make it"
            yield Finding("package group", "warning", f"{name} is not there yet", remedy)
        else:
            yield finding_of_error("package group", error)
    yield from _endpoints(account)


def _endpoints(account: Account) -> Iterator[Finding]:
    from botocore.exceptions import BotoCoreError, ClientError

    settings = account.settings
    if missing_settings(settings):
        return
    try:  # the store itself would retry for longer than the doctor's time limit
        account.client("s3").head_bucket(Bucket=settings.aws.bucket)
    except (BotoCoreError, ClientError):
        return  # the check of the bucket reports it
    endpoints = build_endpoints(settings, build_store(settings), account.session)
    for stage in STAGES:
        try:
            status = endpoints.describe(stage)
        except HostUnavailable as error:
            yield finding_of_error(endpoint_name(settings.project, stage), error)
            continue
        except StoreError:
            return  # nothing was deployed, or the check of the bucket reports the reason
        detail = f"{status.status} {status.model_version or ''}".strip()
        if status.status == "NotFound":
            yield Finding(status.name, "ok", "not deployed yet")
        elif status.failure_reason or status.status == "Failed":
            yield Finding(
                status.name,
                "failed",
                status.failure_reason or detail,
                f"materialize {stage}_endpoint for the recorded model again (`imgclf run`), or "
                "`imgclf rollback`",
            )
        else:
            yield Finding(status.name, "ok", detail)
