"""A SageMaker endpoint without its stack: the served model, and restoring its configuration."""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from resources.aws.errors import is_missing
from resources.endpoints.endpoint_host import HostUnavailable

Identity = tuple[str, str]
"""Model version and digest."""

UNKNOWN: Identity = ("", "")
"""Identity of a configuration that was deleted, or whose model was deleted."""


def find_endpoint(client: Any, name: str) -> Mapping[str, Any] | None:
    """Return DescribeEndpoint's answer; ``None`` if there is no such endpoint.

    Args:
        client: boto3's for ``sagemaker``.
        name: of the endpoint.

    Raises:
        ClientError, BotoCoreError: SageMaker does not answer.
    """
    found: Mapping[str, Any] | None = _unless_missing(client.describe_endpoint, EndpointName=name)
    return found


def identity_of(client: Any, config_name: str) -> Identity:
    """Return the version and digest of the model that an endpoint configuration serves.

    They are in the model's environment. ``UNKNOWN`` if configuration or model were deleted: the
    endpoint continues without them, but cannot scale, and its model cannot be identified.

    Raises:
        ClientError, BotoCoreError: SageMaker does not answer.
    """
    config = _unless_missing(client.describe_endpoint_config, EndpointConfigName=config_name)
    if config is None:
        return UNKNOWN
    name = config["ProductionVariants"][0]["ModelName"]
    model = _unless_missing(client.describe_model, ModelName=name)
    if model is None:
        return UNKNOWN
    environment = model["PrimaryContainer"].get("Environment", {})
    return environment.get("IMGCLF_MODEL_VERSION", ""), environment.get("IMGCLF_DIGEST", "")


def apply_endpoint_config(
    client: Any, name: str, config: str, *, tags: Mapping[str, str], guarded: bool
) -> None:
    """Update the endpoint to a configuration, or create it if it does not exist.

    Args:
        client: boto3's for ``sagemaker``.
        name: of the endpoint.
        config: name of the endpoint configuration.
        tags: of an endpoint that is created.
        guarded: whether to use the canary and alarms of the last deployment.

    Raises:
        HostUnavailable: the endpoint has failed and can only be deleted, or it was deleted together
            with its configuration or model.
        ClientError, BotoCoreError: SageMaker refuses.
    """
    found = find_endpoint(client, name)
    if found is None:
        if identity_of(client, config) == UNKNOWN:
            raise HostUnavailable(
                f"endpoint {name} was deleted, and its configuration {config} or its model, too: "
                f"delete the stack (aws cloudformation delete-stack --stack-name …-endpoint-…), "
                "then deploy again"
            )
        client.create_endpoint(
            EndpointName=name,
            EndpointConfigName=config,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        return
    if found["EndpointStatus"] == "Failed":
        # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html
        raise HostUnavailable(
            f"endpoint {name} is Failed ({found.get('FailureReason', 'no reason is given')}), and "
            "SageMaker allows nothing but to delete it: aws sagemaker delete-endpoint "
            f"--endpoint-name {name}; deploy again to recreate it"
        )
    last = found.get("LastDeploymentConfig") if guarded else None
    how = {"DeploymentConfig": last} if last else {}
    client.update_endpoint(EndpointName=name, EndpointConfigName=config, **how)


def _unless_missing(describe: Any, **name: str) -> Any:
    try:
        return describe(**name)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
