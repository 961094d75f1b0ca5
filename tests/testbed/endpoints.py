"""Endpoints that really serve: made, updated by blue/green deployments, invoked, deleted."""

from collections.abc import Callable
from typing import Any

from tests.testbed import endpoint_configs
from tests.testbed.endpoint_configs import absent, found, invalid
from tests.testbed.fleets import Fleet, FleetFailed
from tests.testbed.invocations import invoke
from tests.testbed.listing import page
from tests.testbed.rollouts import Endpoint, create, update
from tests.testbed.state import State

_MAX_CANARY_PERCENT = 50
_NO_KEY = "none"


def create_endpoint(state: State, request: dict[str, Any]) -> dict[str, Any]:
    name = request["EndpointName"]
    with state.lock:
        arn = absent(state, "endpoint", "endpoint", name)
        config = _config(state, request)
        _check_policy(request.get("DeploymentConfig"), config)
        endpoint = Endpoint(
            name, arn, request["EndpointConfigName"], request.get("DeploymentConfig")
        )
        state.table("endpoint")[name] = endpoint
        state.tag(arn, request.get("Tags"))
    state.thread(create, state, endpoint)
    return {"EndpointArn": arn}


def update_endpoint(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        endpoint = _settled(state, request["EndpointName"])
        config = _config(state, request)
        _check_change(endpoint, config)
        policy = request.get("DeploymentConfig") or {}
        if request.get("RetainDeploymentConfig"):
            policy = endpoint.deployment or {}
        _check_policy(policy, config)
        try:
            green = Fleet(state, endpoint.name, config)
        except FleetFailed as error:
            raise invalid(str(error)) from error
        if request.get("RetainAllVariantProperties"):
            excluded = request.get("ExcludeRetainedVariantProperties", [])
            assert endpoint.blue is not None
            green.retain(endpoint.blue, {item["VariantPropertyType"] for item in excluded})
        endpoint.turn("Updating")
        endpoint.green, endpoint.green_started = green, endpoint.modified
        endpoint.green_state, endpoint.green_share = "Creating", 0.0
    state.thread(update, state, endpoint, green, policy)
    return {"EndpointArn": endpoint.arn}


def update_weights(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        endpoint = _settled(state, request["EndpointName"])
        assert endpoint.blue is not None
        variants = {variant.name: variant for variant in endpoint.blue.variants}
        for desired in request["DesiredWeightsAndCapacities"]:
            variant = variants.get(desired["VariantName"])
            if variant is None:
                raise invalid(f"Could not find variant {desired['VariantName']}.")
            if "DesiredInstanceCount" in desired and variant.serverless:
                raise invalid("A serverless variant has no instances")
            variant.weight = desired.get("DesiredWeight", variant.weight)
            variant.instances = desired.get("DesiredInstanceCount", variant.instances)
        endpoint.turn("Updating")

    def settle() -> None:
        state.stopping.wait(0.3)
        with state.lock:
            endpoint.turn("InService")

    state.thread(settle)
    return {"EndpointArn": endpoint.arn}


def describe_endpoint(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        endpoint: Endpoint = found(state, "endpoint", "endpoint", request["EndpointName"])
        texts: dict[str, Any] = {
            "EndpointName": endpoint.name,
            "EndpointArn": endpoint.arn,
            "EndpointConfigName": endpoint.config_name,
            "EndpointStatus": endpoint.status,
            "CreationTime": endpoint.created,
            "LastModifiedTime": endpoint.modified,
        }
        if endpoint.failure:
            texts["FailureReason"] = endpoint.failure[:1024]
        if endpoint.blue is not None:
            texts["ProductionVariants"] = endpoint.blue.summary()
            texts |= _capture(endpoint.blue)
        if endpoint.deployment:
            texts["LastDeploymentConfig"] = endpoint.deployment
        if endpoint.green is not None:
            texts["PendingDeploymentSummary"] = {
                "EndpointConfigName": endpoint.green.config_name,
                "ProductionVariants": endpoint.green.summary(endpoint.green_state),
                "StartTime": endpoint.green_started,
            }
    return texts


def delete_endpoint(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        endpoint: Endpoint = found(state, "endpoint", "endpoint", request["EndpointName"])
        if endpoint.status in ("Creating", "Updating", "RollingBack", "Deleting"):
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        endpoint.turn("Deleting")

    def remove() -> None:
        if endpoint.blue is not None:
            endpoint.blue.stop()
        with state.lock:
            state.table("endpoint").pop(endpoint.name, None)
            state.tags.pop(endpoint.arn, None)

    state.thread(remove)
    return {}


def list_endpoints(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        entries = [
            {
                "EndpointName": endpoint.name,
                "EndpointArn": endpoint.arn,
                "CreationTime": endpoint.created,
                "LastModifiedTime": endpoint.modified,
                "EndpointStatus": endpoint.status,
            }
            for endpoint in state.table("endpoint").values()
        ]
    return page(request, entries, member="Endpoints", name="EndpointName", status="EndpointStatus")


def _config(state: State, request: dict[str, Any]) -> dict[str, Any]:
    name = request["EndpointConfigName"]
    config: dict[str, Any] = found(state, "endpoint-config", "endpoint configuration", name)
    return config


def _settled(state: State, name: str) -> Endpoint:
    """An endpoint that can be updated."""
    endpoint: Endpoint = found(state, "endpoint", "endpoint", name)
    if endpoint.status == "Failed":
        raise invalid(f'Cannot update failed endpoint "{endpoint.arn}"; delete it.')
    if endpoint.status != "InService":
        raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
    return endpoint


def _check_change(endpoint: Endpoint, config: dict[str, Any]) -> None:
    """Which configurations an endpoint may be updated to.

    AWS documents both rules, not the words of the refusals; these are its documents':
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateEndpoint.html and
    https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
    """
    if config["EndpointConfigName"] == endpoint.config_name:
        raise invalid(
            f'Endpoint "{endpoint.arn}" is on endpoint configuration {endpoint.config_name} '
            "already. To update an endpoint, you must create a new EndpointConfig."
        )
    has_instances = endpoint.blue is not None and any(
        not variant.serverless for variant in endpoint.blue.variants
    )
    if has_instances and any("ServerlessConfig" in v for v in config["ProductionVariants"]):
        raise invalid(
            "You cannot convert your instance-based, real-time endpoint to a serverless endpoint."
        )


def _check_policy(policy: dict[str, Any] | None, config: dict[str, Any]) -> None:
    """What the service says of a DeploymentConfig beyond the ranges of its members."""
    if not policy:
        return
    if "BlueGreenUpdatePolicy" in policy and "RollingUpdatePolicy" in policy:
        raise invalid("Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy may be given")
    variants = config["ProductionVariants"]
    serverless = any("ServerlessConfig" in variant for variant in variants)
    if "RollingUpdatePolicy" in policy and (serverless or len(variants) > 1):
        raise invalid("Rolling updates support neither serverless nor several variants")
    routing = policy.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
    for kind, size in (("CANARY", "CanarySize"), ("LINEAR", "LinearStepSize")):
        if (routing.get("Type") == kind) != (size in routing):
            raise invalid(f"{size} must be given for traffic routing of type {kind}, and only then")
        given = routing.get(size, {})
        if given.get("Type") == "CAPACITY_PERCENT" and given["Value"] > _MAX_CANARY_PERCENT:
            raise invalid(f"{size} must be {_MAX_CANARY_PERCENT} percent or less")


def _capture(fleet: Fleet) -> dict[str, Any]:
    config = fleet.config.get("DataCaptureConfig")
    if not config:
        return {}
    on = config.get("EnableCapture", True)
    return {
        "DataCaptureConfig": {
            "EnableCapture": on,
            "CaptureStatus": "Started" if on else "Stopped",
            "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
            "DestinationS3Uri": config["DestinationS3Uri"],
            "KmsKeyId": config.get("KmsKeyId") or _NO_KEY,
        }
    }


OPERATIONS: dict[str, Callable[[State, dict[str, Any]], dict[str, Any]]] = {
    **endpoint_configs.OPERATIONS,
    "CreateEndpoint": create_endpoint,
    "UpdateEndpoint": update_endpoint,
    "UpdateEndpointWeightsAndCapacities": update_weights,
    "DescribeEndpoint": describe_endpoint,
    "DeleteEndpoint": delete_endpoint,
    "ListEndpoints": list_endpoints,
}
INVOKE = invoke
