"""What happens in the name of a job's role: its container's calls, and SageMaker's own of S3.

A role that the account has (moto's IAM) is held to its policies; one that was never created may do
everything, as ``check_role`` takes it for granted.
"""

from tests.testbed.permissions import decide, statements_of
from tests.testbed.state import ACCOUNT


def _exists(arn: str) -> bool:
    from moto.iam.models import iam_backends

    return any(role.arn == arn for role in iam_backends[ACCOUNT]["aws"].roles.values())


def session_keys(arn: str, region: str) -> dict[str, str]:
    """Credentials as SageMaker gives them to a container; nothing if there is no such role."""
    from moto.sts.models import sts_backends

    if not _exists(arn):
        return {}
    given = sts_backends[ACCOUNT]["aws"].assume_role(
        region_name=region,
        role_session_name="SageMaker",
        role_arn=arn,
        policy="",
        duration=3600,
        external_id="",
    )
    return {
        "AWS_ACCESS_KEY_ID": given.access_key_id,
        "AWS_SECRET_ACCESS_KEY": given.secret_access_key,
        "AWS_SESSION_TOKEN": given.session_token,
    }


def denial(arn: str, action: str, resource: str) -> str:
    """AWS's words, if a role of the account may not do that."""
    if not _exists(arn):
        return ""
    context = {"aws:SecureTransport": "true"}
    if decide(statements_of(arn), action, resource, context).effect == "allowed":
        return ""
    return f"{arn} is not authorized to perform: {action} on resource: {resource}"
