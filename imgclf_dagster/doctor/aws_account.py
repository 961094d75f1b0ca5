"""The AWS account that the doctor checks, and findings made from errors of AWS."""

from dataclasses import dataclass
from typing import Any

from imgclf_dagster.doctor.findings import Finding
from imgclf_dagster.settings.root import Settings
from resources.aws.session import AwsSession

FOUNDATION = "run `imgclf deploy foundation`"

_PERMISSIONS = {
    "DescribeEndpoint": "sagemaker:DescribeEndpoint",
    "DescribeEndpointConfig": "sagemaker:DescribeEndpointConfig",
    "DescribeImages": "ecr:DescribeImages",
    "DescribeKey": "kms:DescribeKey",
    "DescribeModel": "sagemaker:DescribeModel",
    "DescribeModelPackageGroup": "sagemaker:DescribeModelPackageGroup",
    "GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "GetQueueAttributes": "sqs:GetQueueAttributes",
    "GetRole": "iam:GetRole",
    "HeadBucket": "s3:ListBucket",
    "ListServiceQuotas": "servicequotas:ListServiceQuotas",
    "SimulatePrincipalPolicy": "iam:SimulatePrincipalPolicy",
}
"""Permission that each operation of the doctor needs; S3 does not name it when it denies one."""


@dataclass(frozen=True)
class Account:
    """An AWS account as its caller sees it.

    Attributes:
        settings: the user's settings.
        session: makes boto3 clients.
        arn: ARN of the caller, from STS.
    """

    settings: Settings
    session: AwsSession
    arn: str

    @property
    def id(self) -> str:
        """Twelve digits."""
        return self.arn.split(":")[4]

    @property
    def partition(self) -> str:
        """``aws``, ``aws-cn`` or ``aws-us-gov``."""
        return self.arn.split(":")[1]

    @property
    def region(self) -> str:
        """Where everything is looked for."""
        region: str = self.client("sts").meta.region_name
        return region

    @property
    def caller(self) -> str:
        """The caller's name for people: of the role behind a session, or of the user."""
        parts = self.arn.split("/")
        return f"role {parts[1]}" if ":assumed-role/" in self.arn else parts[-1]

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service."""
        return self.session.client(service)


def finding_of_error(what: str, error: Exception) -> Finding:
    """Make a finding from an error that a check raised.

    It is a warning if the caller lacks a permission or the error may be temporary, else a failure.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    from resources.aws.errors import explained, is_denied, is_permanent, is_unreached

    known = error if isinstance(error, ClientError | BotoCoreError) else error.__cause__
    if not isinstance(known, ClientError | BotoCoreError):
        return Finding(what, "failed", f"{type(error).__name__}: {error}")
    operation = getattr(known, "operation_name", "")
    detail, remedy = explained(known, operation or what)
    detail = detail.removeprefix(f"{what}: ")
    if is_denied(known):
        needed = _PERMISSIONS.get(operation, operation)
        return Finding(
            what,
            "warning",
            f"not checked, as {needed} is denied: {detail}",
            f"allow {needed} to whoever runs the doctor (see cloudformation/foundation.yaml)",
        )
    grave = is_unreached(known) or is_permanent(known)
    return Finding(what, "failed" if grave else "warning", detail, remedy)
