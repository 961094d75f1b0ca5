"""Application Auto Scaling in process B: kept and told, checked against the endpoint; no scaling."""

import itertools
import json
import time
from typing import Any

Props = dict[str, Any]
Made = tuple[str, dict[str, Any]]

TARGET_PREFIX = "AnyScaleFrontendService."
_ARN = "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy"
_ROLE = (
    "arn:aws:iam::123456789012:role/aws-service-role/sagemaker.application-autoscaling."
    "amazonaws.com/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)
_targets: dict[str, dict[str, Any]] = {}
_policies: dict[str, dict[str, Any]] = {}
_numbers = itertools.count(1)


def _target_id(of: dict[str, Any]) -> str:
    return f"{of['ResourceId']}|{of['ScalableDimension']}|{of['ServiceNamespace']}"


def _register(target: dict[str, Any]) -> str:
    _check_resource(target)
    low, high = int(target["MinCapacity"]), int(target["MaxCapacity"])
    if low > high:
        raise ValueError("Maximum capacity cannot be less than minimum capacity")
    given = {**target, "MinCapacity": low, "MaxCapacity": high, "CreationTime": time.time()}
    _targets[_target_id(target)] = {"RoleARN": _ROLE, **given}
    return _target_id(target)


def _check_resource(target: dict[str, Any]) -> None:
    """A variant that does not exist or is serverless without provisioned concurrency: no target."""
    from tests.testbed.stack_resources import call

    if target["ServiceNamespace"] != "sagemaker":
        return
    _, endpoint, _, variant = target["ResourceId"].split("/")
    reported = call("DescribeEndpoint", EndpointName=endpoint)
    found = {item["VariantName"]: item for item in reported.get("ProductionVariants", [])}
    if variant not in found:
        raise ValueError(f"The resource {target['ResourceId']} does not exist")
    if "CurrentServerlessConfig" in found[variant]:
        raise ValueError(f"The resource {target['ResourceId']} has no instances to scale")


def create_target(logical_id: str, props: Props, stack: str) -> Made:
    """Register a scalable target."""
    key = _register(props)
    return key, {"Id": key}


def update_target(key: str, old: Props, new: Props, stack: str) -> Made:
    """Register it again."""
    _register(new)
    return key, {"Id": key}


def delete_target(key: str, props: Props) -> None:
    """Deregister it; its policies go with it."""
    if _targets.pop(key, None) is None:
        raise ValueError(f"No scalable target registered for {key}")
    for arn in [arn for arn, policy in _policies.items() if _target_id(policy) == key]:
        del _policies[arn]


def create_policy(logical_id: str, props: Props, stack: str) -> Made:
    """Put a scaling policy."""
    if "ScalingTargetId" in props:
        resource, dimension, namespace = props["ScalingTargetId"].split("|")
    else:
        resource, dimension = props["ResourceId"], props["ScalableDimension"]
        namespace = props["ServiceNamespace"]
    policy = {
        **{key: value for key, value in props.items() if key != "ScalingTargetId"},
        "ResourceId": resource,
        "ScalableDimension": dimension,
        "ServiceNamespace": namespace,
    }
    if _target_id(policy) not in _targets:
        raise ValueError(f"No scalable target registered for {_target_id(policy)}")
    arn = f"{_ARN}:{next(_numbers):08d}:resource/{namespace}/{resource}:policyName/{props['PolicyName']}"
    config = policy.get("TargetTrackingScalingPolicyConfiguration")
    if config:
        numbers = {
            key: float(value) if key == "TargetValue" else int(value)
            for key, value in config.items()
            if key in ("TargetValue", "ScaleInCooldown", "ScaleOutCooldown")
        }
        policy["TargetTrackingScalingPolicyConfiguration"] = {**config, **numbers}
    _policies[arn] = {**policy, "PolicyARN": arn, "CreationTime": time.time()}
    return arn, {"Arn": arn}


def update_policy(arn: str, old: Props, new: Props, stack: str) -> Made:
    """Put it again, under its ARN."""
    made, _ = create_policy("", new, stack)
    _policies[arn] = {**_policies.pop(made), "PolicyARN": arn}
    return arn, {"Arn": arn}


def delete_policy(arn: str, props: Props) -> None:
    """Delete it."""
    _policies.pop(arn, None)


def answer(operation: str, request: dict[str, Any]) -> tuple[int, bytes]:
    """Status and body of one API call (JSON protocol)."""
    known = {
        "DescribeScalableTargets": ("ScalableTargets", _targets),
        "DescribeScalingPolicies": ("ScalingPolicies", _policies),
    }
    if operation not in known:
        return 400, json.dumps({"__type": "ValidationException", "message": operation}).encode()
    member, table = known[operation]
    wanted = request.get("ResourceIds") or [request.get("ResourceId")]
    found = [item for item in table.values() if wanted == [None] or item["ResourceId"] in wanted]
    return 200, json.dumps({member: found}).encode()
