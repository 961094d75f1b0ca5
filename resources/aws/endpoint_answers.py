"""What SageMaker says of an endpoint, as the port says it."""

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from resources.aws.errors import error_code, told
from serving.client import InvocationFailed
from serving.deployments import DeploymentRecord, EndpointState, EndpointStatus, Stage, record_key

STATES: dict[str, EndpointState] = {
    "Creating": "Creating",
    "Updating": "Updating",
    "RollingBack": "Updating",
    "Deleting": "Updating",
    "InService": "InService",
    "SystemUpdating": "InService",  # AWS patches it; it goes on answering
}
"""Ours by SageMaker's; all others are Failed."""


def absent(stage: Stage, name: str, newest: DeploymentRecord | None) -> EndpointStatus:
    """The status of an endpoint that is not there: never deployed, or gone."""
    if newest is None:
        return EndpointStatus(stage=stage, name=name, status="NotFound")
    return EndpointStatus(
        stage=stage,
        name=name,
        status="Failed",
        failure_reason=f"drift: {newest.model_version} is recorded, and there is no endpoint {name}",
        record_key=record_key(newest),
    )


def refused(error: ClientError, name: str) -> InvocationFailed:
    """The container's own refusal, or SageMaker's, as the local host says it."""
    response: Mapping[str, Any] = error.response
    code = error_code(error)
    if code == "ModelError":
        status = int(response.get("OriginalStatusCode", 500))
        try:
            told_by_us = json.loads(response.get("OriginalMessage", ""))["error"]
            return InvocationFailed(status, told_by_us["code"], told_by_us["message"])
        except (ValueError, KeyError, TypeError):
            return InvocationFailed(status, "model_error", str(error))
    if code == "ValidationError" and "not found" in str(error):
        return InvocationFailed(
            503, "no_model", f"{name} serves no model: nothing is deployed there"
        )
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
    return InvocationFailed(status, code, told(error, f"endpoint {name}"))


def console_links(name: str, stack: str, region: str) -> dict[str, str]:
    """Pages of the AWS console about the endpoint ``name`` and the stack that made it."""
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
