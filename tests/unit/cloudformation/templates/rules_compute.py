"""Rules of what computes and answers: endpoints, functions, APIs, tasks, load balancers."""

from collections.abc import Iterator
from typing import Any

from tests.unit.cloudformation.templates.rules import rule
from tests.unit.cloudformation.templates.template import (
    Template,
    branches,
    first,
    items,
    references,
)


def _numbers(template: Template, value: Any) -> list[float]:
    return template.numbers(value) if value is not None else []


@rule
def canary_is_half_at_most(template: Template) -> Iterator[str]:
    """SageMaker: "canary size must be less than or equal to 50% of the variant's total".

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_TrafficRoutingConfig.html
    """
    for where, policy in _blue_green(template):
        routing = first(policy["TrafficRoutingConfiguration"])
        for size in branches(routing.get("CanarySize")) if "CanarySize" in routing else []:
            percent = size.get("Type") == "CAPACITY_PERCENT"
            if percent and max(_numbers(template, size["Value"])) > 50:
                yield f"{where}: a canary of more than half the fleet"
        for step in branches(routing.get("LinearStepSize")) if "LinearStepSize" in routing else []:
            if not all(10 <= number <= 50 for number in _numbers(template, step["Value"])):
                yield f"{where}: steps must be 10 to 50 % of the fleet"


@rule
def deployments_have_time(template: Template) -> Iterator[str]:
    """The longest waits fit into MaximumExecutionTimeoutInSeconds (600 to 28,800).

    A canary waits twice: after its own shift, and after the rest's.
    """
    for where, policy in _blue_green(template):
        limits = _numbers(template, policy.get("MaximumExecutionTimeoutInSeconds"))
        if not limits:
            yield f"{where} has no MaximumExecutionTimeoutInSeconds"
            continue
        if not all(600 <= limit <= 28_800 for limit in limits):
            yield f"{where}: MaximumExecutionTimeoutInSeconds must be 600 to 28,800"
        routing = first(policy["TrafficRoutingConfiguration"])
        shifts = 1 if template.values(routing["Type"]) == {"ALL_AT_ONCE"} else 2
        waits = shifts * max(_numbers(template, routing["WaitIntervalInSeconds"]))
        waits += max(_numbers(template, policy.get("TerminationWaitInSeconds", 0)))
        if waits >= min(limits):
            yield f"{where}: waits of {waits:g} s do not fit into {min(limits):g} s"


@rule
def deployments_roll_back(template: Template) -> Iterator[str]:
    """A blue/green deployment is watched by alarms of the same template."""
    alarms = {logical_id for logical_id, _ in template.of_type("AWS::CloudWatch::Alarm")}
    for logical_id, properties in template.of_type("AWS::SageMaker::Endpoint"):
        for config in branches(properties.get("DeploymentConfig")):
            named = [
                next(iter(references(alarm["AlarmName"])), "")
                for rollback in branches((config or {}).get("AutoRollbackConfiguration"))
                for alarm in (rollback or {}).get("Alarms", [])
            ]
            if not named or not set(named) <= alarms:
                yield f"{logical_id} is not watched by alarms of this template"


def _blue_green(template: Template) -> Iterator[tuple[str, dict]]:
    for logical_id, properties in template.of_type("AWS::SageMaker::Endpoint"):
        for config in branches(properties.get("DeploymentConfig")):
            if config and "BlueGreenUpdatePolicy" in config:
                yield logical_id, config["BlueGreenUpdatePolicy"]


@rule
def endpoints_can_be_replaced(template: Template) -> Iterator[str]:
    """Models and configurations have no names of their own, or an update could not replace them."""
    names = {
        "AWS::SageMaker::Model": "ModelName",
        "AWS::SageMaker::EndpointConfig": "EndpointConfigName",
    }
    for type_, name in names.items():
        for logical_id, properties in template.of_type(type_):
            if name in properties:
                yield f"{logical_id} has a name of its own"


@rule
def variants_are_possible(template: Template) -> Iterator[str]:
    """Serverless: 1 to 6 GB in whole GB, 200 requests at a time at most; one name for all."""
    names = set()
    for logical_id, properties in template.of_type("AWS::SageMaker::EndpointConfig"):
        for variant in items(properties["ProductionVariants"]):
            names.add(str(variant["VariantName"]))
            config = variant.get("ServerlessConfig")
            if config is None:
                continue
            memory = set(_numbers(template, config["MemorySizeInMB"])) - {0.0}
            if not memory <= {1024.0 * gigabytes for gigabytes in range(1, 7)}:
                yield f"{logical_id}: MemorySizeInMB must be 1024, 2048, … 6144"
            if not all(1 <= n <= 200 for n in _numbers(template, config["MaxConcurrency"])):
                yield f"{logical_id}: MaxConcurrency must be 1 to 200"
    if len(names) > 1:
        yield f"variants must keep one name across updates, not {sorted(names)}"


@rule
def functions_are_possible(template: Template) -> Iterator[str]:
    """Lambda: 128 to 10,240 MB in whole numbers, 900 s at most; logs in a group of the template."""
    groups = {logical_id for logical_id, _ in template.of_type("AWS::Logs::LogGroup")}
    for logical_id, properties in template.of_type("AWS::Lambda::Function"):
        memory = _numbers(template, properties.get("MemorySize", 128))
        if not all(128 <= size <= 10_240 and size == int(size) for size in memory):
            yield f"{logical_id}: MemorySize must be a whole number from 128 to 10240"
        if not all(1 <= s <= 900 for s in _numbers(template, properties.get("Timeout", 3))):
            yield f"{logical_id}: Timeout must be 1 to 900 s"
        group = properties.get("LoggingConfig", {}).get("LogGroup", {})
        if group.get("Ref") not in groups if isinstance(group, dict) else True:
            yield f"{logical_id} logs to a group that is kept for ever"


@rule
def nobody_enters_unasked(template: Template) -> Iterator[str]:
    """Every route of an API, function URL and listener asks who is there; HTTP only redirects."""
    for logical_id, properties in template.of_type("AWS::ApiGatewayV2::Route"):
        asked = template.values(properties.get("AuthorizationType", "NONE"))
        if not asked <= {"AWS_IAM", "JWT", "CUSTOM"}:
            yield f"{logical_id} may be called by anybody"
    for logical_id, properties in template.of_type("AWS::Lambda::Url"):
        if template.values(properties.get("AuthType", "NONE")) != {"AWS_IAM"}:
            yield f"{logical_id} may be called by anybody"
    for logical_id, properties in template.of_type("AWS::Lambda::Permission"):
        if properties.get("Principal") == "*" or not {"SourceArn", "SourceAccount"} & set(
            properties
        ):
            yield f"{logical_id} lets anybody's resources call"
    for logical_id, properties in template.of_type("AWS::ElasticLoadBalancingV2::Listener"):
        kinds = {action["Type"] for action in items(properties["DefaultActions"])}
        asks = {kind for kind in kinds if kind.startswith("authenticate-")}
        secure = properties.get("Protocol") in ("HTTPS", "TLS")
        if kinds - asks - {"redirect", "fixed-response"} and not (asks and secure):
            yield f"{logical_id} lets in whom nobody has asked"


@rule
def tasks_are_inside(template: Template) -> Iterator[str]:
    """ECS tasks have no public address and write their log to a group of the template."""
    for logical_id, properties in template.of_type("AWS::ECS::Service"):
        network = properties.get("NetworkConfiguration", {}).get("AwsvpcConfiguration", {})
        if network.get("AssignPublicIp") != "DISABLED":
            yield f"{logical_id} may get a public address"
    groups = {logical_id for logical_id, _ in template.of_type("AWS::Logs::LogGroup")}
    for logical_id, properties in template.of_type("AWS::ECS::TaskDefinition"):
        for container in items(properties["ContainerDefinitions"]):
            options = container.get("LogConfiguration", {}).get("Options", {})
            if options.get("awslogs-group", {}).get("Ref") not in groups:
                yield f"{logical_id}: {container['Name']} logs to no group of this template"
            if str(container.get("Privileged", False)).lower() == "true":
                yield f"{logical_id}: {container['Name']} is privileged"


@rule
def builds_are_ours(template: Template) -> Iterator[str]:
    """CodeBuild logs to a group of the template, and its variables hold no plain secrets."""
    groups = {logical_id for logical_id, _ in template.of_type("AWS::Logs::LogGroup")}
    for logical_id, properties in template.of_type("AWS::CodeBuild::Project"):
        logs = properties.get("LogsConfig", {}).get("CloudWatchLogs", {})
        if logs.get("GroupName", {}).get("Ref") not in groups if logs else True:
            yield f"{logical_id} logs to a group that is kept for ever"
        for variable in items(properties["Environment"].get("EnvironmentVariables", [])):
            words = ("password", "secret", "token")
            plain = variable.get("Type", "PLAINTEXT") == "PLAINTEXT"
            if plain and any(word in variable["Name"].lower() for word in words):
                yield f"{logical_id}: {variable['Name']} is a secret in the open"
