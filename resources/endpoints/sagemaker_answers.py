"""Converting SageMaker's answers about an endpoint to the port's types and errors."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from resources.aws.errors import error_code, error_message
from resources.endpoints.endpoint_host import HostUnavailable
from resources.endpoints.sagemaker_state import UNKNOWN, Identity
from serving.deployments import DeploymentRecord, EndpointState, EndpointStatus, Stage, record_key
from serving.endpoint.client import InvocationFailed

STATES: dict[str, EndpointState] = {
    "Creating": "Creating",
    "Updating": "Updating",
    "RollingBack": "Updating",
    "Deleting": "Updating",
    "InService": "InService",
    "SystemUpdating": "InService",  # AWS patches it; it goes on answering
}
"""The port's states by SageMaker's; all others are Failed."""


def absent(stage: Stage, name: str, newest: DeploymentRecord | None) -> EndpointStatus:
    """Return the status of an endpoint that does not exist.

    Args:
        stage: the endpoint's.
        name: of the endpoint.
        newest: the stage's newest record; ``None`` if it was never deployed.

    Returns:
        ``NotFound`` without a record; ``Failed`` with one.
    """
    if newest is None:
        return EndpointStatus(stage=stage, name=name, status="NotFound")
    return EndpointStatus(
        stage=stage,
        name=name,
        status="Failed",
        failure_reason=f"drift: {newest.model_version} is recorded, and there is no endpoint "
        f"{name}",
        record_key=record_key(newest),
    )


def described(
    stage: Stage,
    endpoint: Mapping[str, Any],
    identity: Identity,
    newest: DeploymentRecord | None,
    history: Callable[[], Sequence[DeploymentRecord]],
) -> EndpointStatus:
    """Return the status of an existing endpoint, compared with the stage's records.

    Args:
        stage: the endpoint's.
        endpoint: answer of DescribeEndpoint.
        identity: version and digest of the served model.
        newest: the stage's newest record, read before the endpoint was described.
        history: returns all records, newest first; called only if the newest is not served.
    """
    version, digest = identity
    state = STATES.get(endpoint["EndpointStatus"], "Failed")
    failure = endpoint.get("FailureReason") if state == "Failed" else None
    if state == "InService" and newest is not None and newest.digest != digest:
        state, failure = "Failed", _drift(newest, identity)
        if endpoint.get("FailureReason"):
            failure += f"; SageMaker says: {endpoint['FailureReason']}"
    served = newest if newest is not None and newest.digest == digest else None
    served = served or next((record for record in history() if record.digest == digest), None)
    return EndpointStatus(
        stage=stage,
        name=endpoint["EndpointName"],
        status=state,
        model_version=version or None,
        digest=digest or None,
        since=served.created_at if served else endpoint["LastModifiedTime"],
        failure_reason=failure,
        record_key=record_key(newest) if newest else None,
    )


def _drift(newest: DeploymentRecord, identity: Identity) -> str:
    recorded = f"drift: {newest.model_version} ({newest.digest[:12]}) is recorded"
    if identity == UNKNOWN:
        return (
            f"{recorded}, and the served model is not known: its endpoint configuration or its "
            "SageMaker model was deleted"
        )
    version, digest = identity
    return f"{recorded}, {version} ({digest[:12]}) is served"


def invoked(
    client: Any, name: str, body: bytes, content_type: str, top_k: int | None
) -> dict[str, Any]:
    """Send one request to an endpoint and return the parsed JSON answer.

    Args:
        client: boto3's for ``sagemaker-runtime``.
        name: of the endpoint.
        body: of the request, in the form of ``content_type``.
        content_type: MIME type of the body.
        top_k: number of labels in the answer; ``None``: all.

    Raises:
        HostUnavailable: SageMaker does not answer.
        InvocationFailed: SageMaker or the container refuses the request.
    """
    options = {"CustomAttributes": f"top_k={top_k}"} if top_k else {}
    try:
        answer = client.invoke_endpoint(
            EndpointName=name, Body=body, ContentType=content_type, **options
        )
    except ClientError as error:
        raise _refused(error, name) from error
    except BotoCoreError as error:
        raise HostUnavailable(error_message(error, f"endpoint {name}")) from error
    parsed: dict[str, Any] = json.loads(answer["Body"].read())
    return parsed


def _refused(error: ClientError, name: str) -> InvocationFailed:
    """Convert a refusal by the container or by SageMaker to the local host's error."""
    response: Mapping[str, Any] = error.response
    code = error_code(error)
    if code == "ModelError":
        status = int(response.get("OriginalStatusCode", 500))
        try:
            our_error = json.loads(response.get("OriginalMessage", ""))["error"]
            return InvocationFailed(status, our_error["code"], our_error["message"])
        except (ValueError, KeyError, TypeError):
            return InvocationFailed(status, "model_error", str(error))
    if code == "ValidationError" and "not found" in str(error):
        return InvocationFailed(
            503, "no_model", f"{name} serves no model: nothing is deployed there"
        )
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
    return InvocationFailed(status, code, error_message(error, f"endpoint {name}"))


def console_links(name: str, stack: str, region: str) -> dict[str, str]:
    """Return addresses of AWS console pages by title.

    Args:
        name: of the endpoint.
        stack: name of the CloudFormation stack that made it.
        region: such as ``eu-central-1``.
    """
    console = f"https://{region}.console.aws.amazon.com"
    return {
        "url": f"{console}/sagemaker/home?region={region}#/endpoints/{name}",
        "CloudFormation stack": (
            f"{console}/cloudformation/home?region={region}#/stacks?filteringText={stack}"
        ),
        "CloudWatch logs": (
            f"{console}/cloudwatch/home?region={region}"
            f"#logsV2:log-groups/log-group/$252Faws$252Fsagemaker$252FEndpoints$252F{name}"
        ),
    }
