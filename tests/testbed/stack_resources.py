"""Resource types that ministack has not, or not as we need them.

SageMaker's are made by calls to process A, as CloudFormation's own handlers make them. What
changes in place and what makes a new resource: the "Update requires" of each property in
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_SageMaker.html
"""

import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.testbed import scaling

_POLL_S = 0.05
_PASSING = ("Creating", "Updating", "RollingBack", "SystemUpdating", "Deleting")
_LETTERS = string.ascii_letters + string.digits

Props = dict[str, Any]
Made = tuple[str, dict[str, Any]]


class ResourceFailed(RuntimeError):
    """A resource was not made or changed; ``physical_id`` if something is there all the same."""

    def __init__(self, reason: str, physical_id: str = "") -> None:
        super().__init__(reason)
        self.physical_id = physical_id


@dataclass(frozen=True)
class ResourceType:
    """How a type is made, changed and deleted.

    Attributes:
        create: (logical id, properties, stack's name) to (physical id, attributes).
        delete: (physical id, properties).
        update: (physical id, old, new, stack's name) to (physical id, attributes).
        in_place: the properties that change in place; None: all of them.
    """

    create: Callable[[str, Props, str], Made]
    delete: Callable[[str, Props], None]
    update: Callable[[str, Props, Props, str], Made]
    in_place: frozenset[str] | None

    def replaced_by(self, key: str) -> bool:
        """Whether a change of that property makes a new resource."""
        return self.in_place is not None and key not in self.in_place


@cache
def sagemaker() -> Any:
    """A client of process A."""
    import os

    import boto3
    from botocore.config import Config

    return boto3.client(
        "sagemaker",
        endpoint_url=os.environ["STANDIN_SAGEMAKER"],
        config=Config(retries={"total_max_attempts": 8, "mode": "standard"}),
    )


def unique(logical_id: str) -> str:
    """A physical name, another one each time: ``Model-1a2B3c4D5e6F``."""
    return f"{logical_id[:50]}-{''.join(secrets.choice(_LETTERS) for _ in range(12))}"


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]


def _tagged(arn: str, old: Props, new: Props) -> None:
    """Make the tags of a resource those of its properties."""
    client = sagemaker()
    before = {tag["Key"] for tag in old.get("Tags", [])}
    gone = before - {tag["Key"] for tag in new.get("Tags", [])}
    if gone:
        client.delete_tags(ResourceArn=arn, TagKeys=sorted(gone))
    if new.get("Tags"):
        client.add_tags(ResourceArn=arn, Tags=new["Tags"])


def typed(value: Any, shape: Any) -> Any:
    """Properties as the API wants them: templates say numbers and truth as strings.

    Raises:
        ResourceFailed: a string is no number.
    """
    if shape.type_name == "structure" and isinstance(value, dict):
        members = shape.members
        return {k: typed(v, members[k]) if k in members else v for k, v in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [typed(item, shape.member) for item in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: typed(item, shape.value) for key, item in value.items()}
    if shape.type_name == "string":
        return str(value)
    if shape.type_name == "boolean" and isinstance(value, str):
        return value.lower() == "true"
    try:
        if shape.type_name in ("integer", "long") and isinstance(value, str):
            return int(value)
        if shape.type_name in ("float", "double") and isinstance(value, str):
            return float(value)
    except ValueError as error:
        raise ResourceFailed(f"Properties validation failed: {error}") from error
    return value


def call(operation: str, **request: Any) -> dict[str, Any]:
    """One call to SageMaker, with its members typed as the API has them."""
    client = sagemaker()
    shape = client.meta.service_model.operation_model(operation).input_shape
    method = {api: name for name, api in client.meta.method_to_api_mapping.items()}[operation]
    answer: dict[str, Any] = getattr(client, method)(**typed(request, shape))
    return answer


def _simple(kind: str, in_place: frozenset[str] = frozenset({"Tags"})) -> ResourceType:
    """Model, EndpointConfig and ModelPackageGroup: a name, an ARN, made at once."""
    key = f"{kind}Name"

    def create(logical_id: str, props: Props, stack: str) -> Made:
        name = props.get(key) or unique(logical_id)
        arn = call(f"Create{kind}", **{**props, key: name})[f"{kind}Arn"]
        return arn, {key: name, f"{kind}Arn": arn}

    def delete(arn: str, props: Props) -> None:
        call(f"Delete{kind}", **{key: _name(arn)})

    def update(arn: str, old: Props, new: Props, stack: str) -> Made:
        _tagged(arn, old, new)
        return arn, {key: _name(arn), f"{kind}Arn": arn}

    return ResourceType(create, delete, update, in_place)


def _settled(name: str) -> dict[str, Any]:
    while (reported := call("DescribeEndpoint", EndpointName=name))["EndpointStatus"] in _PASSING:
        time.sleep(_POLL_S)
    return reported


_ONLY_FOR_UPDATES = (
    "RetainAllVariantProperties",
    "ExcludeRetainedVariantProperties",
    "RetainDeploymentConfig",
)


def _create_endpoint(logical_id: str, props: Props, stack: str) -> Made:
    name = props.get("EndpointName") or unique(logical_id)
    given = {key: value for key, value in props.items() if key not in _ONLY_FOR_UPDATES}
    given["EndpointConfigName"] = _name(props["EndpointConfigName"])
    arn = call("CreateEndpoint", **{**given, "EndpointName": name})["EndpointArn"]
    reported = _settled(name)
    if reported["EndpointStatus"] != "InService":
        raise ResourceFailed(reported.get("FailureReason", "no reason is given"), arn)
    return arn, {"EndpointName": name}


def _update_endpoint(arn: str, old: Props, new: Props, stack: str) -> Made:
    name, wanted = _name(arn), _name(new["EndpointConfigName"])
    _tagged(arn, old, new)
    # Whether CloudFormation calls UpdateEndpoint when only other properties change is not
    # documented; the worst is taken for true here, too: it does, and SageMaker wants a new
    # configuration. (Back on the old one after a failure, there is nothing to do.)
    others = {**old, "Tags": None} != {**new, "Tags": None}
    same = _name(old.get("EndpointConfigName", "")) == wanted
    if _settled(name)["EndpointConfigName"] != wanted or (same and others):
        given = {key: value for key, value in new.items() if key not in ("EndpointName", "Tags")}
        call("UpdateEndpoint", **{**given, "EndpointName": name, "EndpointConfigName": wanted})
        reported = _settled(name)
        # Whether CloudFormation notices an endpoint that is InService as before, without a reason,
        # is not documented. The worst is taken for true: like others, it does not.
        if reported["EndpointStatus"] != "InService" or reported.get("FailureReason"):
            raise ResourceFailed(reported.get("FailureReason", "no reason is given"), arn)
    return arn, {"EndpointName": name}


def _delete_endpoint(arn: str, props: Props) -> None:
    from botocore.exceptions import ClientError

    name = _name(arn)
    call("DeleteEndpoint", EndpointName=name)
    try:
        _settled(name)
    except ClientError as error:
        if "Could not find" not in str(error):
            raise


def _put_alarm(logical_id: str, props: Props, stack: str) -> Made:
    """As ministack's own, and metric math besides."""
    from ministack.core.responses import get_account_id, get_region
    from ministack.services import cloudwatch
    from ministack.services.cloudformation.provisioners import _physical_name

    name = props.get("AlarmName") or _physical_name(stack, logical_id, max_len=255)
    _check_alarm(props)
    arn = f"arn:aws:cloudwatch:{get_region()}:{get_account_id()}:alarm:{name}"
    now, before = int(time.time()), cloudwatch._alarms.get(name) or {}
    numbers = {key: int(props[key]) for key in ("Period", "DatapointsToAlarm") if key in props}
    lists = ("AlarmActions", "OKActions", "InsufficientDataActions", "Dimensions")
    alarm = {
        **{key: [] for key in lists},
        "StateValue": "INSUFFICIENT_DATA",
        "StateReason": "Unchecked: Initial alarm creation",
        "StateUpdatedTimestamp": now,
        **{key: value for key, value in before.items() if key.startswith("State")},
        **{key: value for key, value in props.items() if key != "Tags"},
        **numbers,
        "AlarmName": name,
        "AlarmArn": arn,
        "EvaluationPeriods": int(props["EvaluationPeriods"]),
        "Threshold": float(props["Threshold"]),
        "ActionsEnabled": str(props.get("ActionsEnabled", True)).lower() == "true",
        "AlarmConfigurationUpdatedTimestamp": now,
    }
    if "Metrics" in props:
        alarm["Metrics"] = typed(props["Metrics"], _metrics_shape())
    cloudwatch.cloudformation_put_metric_alarm(alarm)
    return name, {"Arn": arn}


@cache
def _metrics_shape() -> Any:
    import botocore.session

    model = botocore.session.get_session().get_service_model("cloudwatch")
    return model.operation_model("PutMetricAlarm").input_shape.members["Metrics"]


def _check_alarm(props: Props) -> None:
    """What CloudWatch says of an alarm (PutMetricAlarm)."""
    if ("Metrics" in props) == ("MetricName" in props):
        raise ResourceFailed("An alarm has either MetricName or Metrics")
    missing = {"ComparisonOperator", "EvaluationPeriods", "Threshold"} - props.keys()
    if missing:
        raise ResourceFailed(f"Properties validation failed: required {sorted(missing)}")
    returning = [query for query in props.get("Metrics", []) if _returns(query)]
    if "Metrics" in props and len(returning) != 1:
        raise ResourceFailed("Exactly one element of the metrics list should return data")
    for key in ("AlarmActions", "OKActions"):
        wrong = [arn for arn in props.get(key, []) if not str(arn).startswith("arn:")]
        if wrong:
            raise ResourceFailed(f"Invalid arn syntax: {wrong[0]}")


def _returns(query: dict[str, Any]) -> bool:
    return str(query.get("ReturnData", True)).lower() == "true"


def _update_alarm(name: str, old: Props, new: Props, stack: str) -> Made:
    return _put_alarm("", {**new, "AlarmName": name}, stack)


def _delete_alarm(name: str, props: Props) -> None:
    from ministack.services import cloudwatch

    cloudwatch.cloudformation_delete_metric_alarm(name)


TYPES: dict[str, ResourceType] = {
    "AWS::SageMaker::Model": _simple("Model"),
    "AWS::SageMaker::EndpointConfig": _simple("EndpointConfig"),
    "AWS::SageMaker::ModelPackageGroup": _simple("ModelPackageGroup"),
    "AWS::SageMaker::Endpoint": ResourceType(
        _create_endpoint,
        _delete_endpoint,
        _update_endpoint,
        frozenset({"EndpointConfigName", "DeploymentConfig", "Tags", *_ONLY_FOR_UPDATES}),
    ),
    "AWS::CloudWatch::Alarm": ResourceType(
        _put_alarm,
        _delete_alarm,
        _update_alarm,
        None,
    ),
    "AWS::ApplicationAutoScaling::ScalableTarget": ResourceType(
        scaling.create_target,
        scaling.delete_target,
        scaling.update_target,
        frozenset({"MinCapacity", "MaxCapacity", "RoleARN", "ScheduledActions", "SuspendedState"}),
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": ResourceType(
        scaling.create_policy,
        scaling.delete_policy,
        scaling.update_policy,
        frozenset(
            {
                "PolicyType",
                "StepScalingPolicyConfiguration",
                "TargetTrackingScalingPolicyConfiguration",
            }
        ),
    ),
}
