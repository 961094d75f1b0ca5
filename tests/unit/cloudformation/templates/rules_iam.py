"""Rules of IAM: who may do what, and who may say so."""

from collections.abc import Iterator

from tests.unit.cloudformation.templates.policies import statements
from tests.unit.cloudformation.templates.rules import rule
from tests.unit.cloudformation.templates.template import Template

ANY_RESOURCE = {
    "application-autoscaling:DescribeScalableTargets": "knows no resources",
    "application-autoscaling:DescribeScalingPolicies": "knows no resources",
    "application-autoscaling:DescribeScheduledActions": "knows no resources",
    "cloudformation:GetTemplateSummary": "of a template that no stack has yet",
    "cloudwatch:PutMetricData": "knows no resources; its namespaces are in a condition",
    "ec2:DescribeDhcpOptions": "knows no resources",
    "ec2:DescribeNetworkInterfaces": "knows no resources",
    "ec2:DescribeSecurityGroups": "knows no resources",
    "ec2:DescribeSubnets": "knows no resources",
    "ec2:DescribeVpcs": "knows no resources",
    "ecr:GetAuthorizationToken": "knows no resources; it only logs in",
    "ecs:DescribeTaskDefinition": "knows no resources",
    "sagemaker:ListEndpoints": "knows no resources",
    "sagemaker:ListModelPackages": "knows no resources",
    "servicequotas:ListServiceQuotas": "knows no resources",
    "xray:PutTelemetryRecords": "knows no resources",
    "xray:PutTraceSegments": "knows no resources",
    # Lambda checks that the function's role may do these on any resource before it joins a VPC.
    "ec2:AssignPrivateIpAddresses": "demanded by Lambda in a VPC",
    "ec2:CreateNetworkInterface": "demanded by Lambda in a VPC",
    "ec2:DeleteNetworkInterface": "demanded by Lambda in a VPC",
    "ec2:UnassignPrivateIpAddresses": "demanded by Lambda in a VPC",
}
"""Actions that may be allowed on every resource, with the reason; also in docs/aws.md. Source:
https://docs.aws.amazon.com/service-authorization/latest/reference/"""

CONDITIONED = {"cloudwatch:PutMetricData": "cloudwatch:namespace"}
"""Actions of these that need a condition all the same."""

FAMILIES = {
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    "kms:GenerateDataKey*": "demanded by CloudWatch Logs",
}
"""Families of actions that a service demands in a key's policy."""

GUARDED_SERVICES = {
    "codebuild.amazonaws.com",
    "codepipeline.amazonaws.com",
    "ecs-tasks.amazonaws.com",
    "events.amazonaws.com",
    "logging.s3.amazonaws.com",
    "s3.amazonaws.com",
    "sagemaker.amazonaws.com",
    "scheduler.amazonaws.com",
}
"""Services that say on whose behalf they come (aws:SourceAccount, aws:SourceArn), by their own
documentation. Others (Lambda, CloudFormation) don't: a condition would lock them out."""


@rule
def no_wildcard_actions(template: Template) -> Iterator[str]:
    """What is allowed is named: no ``*``, no ``s3:*``, no ``s3:Get*``, nothing by exclusion."""
    for statement in statements(template):
        if not statement.allows:
            continue
        if "NotAction" in statement.body or "NotResource" in statement.body:
            yield f"{statement.where} allows by exclusion"
        for action in statement.actions:
            if statement.kind == "key" and action in FAMILIES:
                continue
            if "*" in action or "?" in action:
                yield f"{statement.where} allows {action}"


@rule
def any_resource_only_with_reason(template: Template) -> Iterator[str]:
    """``Resource: "*"`` only for actions that know no resources. In a key's policy it is the key."""
    for statement in statements(template):
        if not statement.allows or statement.kind == "key" or "*" not in statement.resources:
            continue
        for action in statement.actions:
            if action not in ANY_RESOURCE:
                yield f"{statement.where} allows {action} on every resource"
            elif CONDITIONED.get(action, "") and (
                CONDITIONED[action] not in statement.condition_keys
            ):
                yield f"{statement.where} allows {action} without {CONDITIONED[action]}"


@rule
def resources_are_scoped(template: Template) -> Iterator[str]:
    """No ARN of a whole service or account: ``arn:…:s3:::*``, ``arn:…:role/*``."""
    bare = ("s3:::*", ":role/*", ":stack/*", ":function:*", ":secret:*", ":key/*")
    for statement in statements(template):
        for resource in statement.resources if statement.allows else []:
            text = resource.get("Fn::Sub", "") if isinstance(resource, dict) else resource
            text = text[0] if isinstance(text, list) else text
            if isinstance(text, str) and text.endswith(bare):
                yield f"{statement.where} allows {text}"


@rule
def nobody_is_everybody(template: Template) -> Iterator[str]:
    """``Principal: "*"`` is only ever refused something."""
    for statement in statements(template):
        if statement.allows and any(name == "*" for _, name in statement.principals):
            yield f"{statement.where} allows everybody"
        if statement.allows and "NotPrincipal" in statement.body:
            yield f"{statement.where} allows by exclusion"


@rule
def services_act_for_this_account(template: Template) -> Iterator[str]:
    """A service that can say on whose behalf it comes must come on this account's."""
    wanted = {"aws:SourceAccount", "aws:SourceArn"}
    for statement in statements(template):
        if not statement.allows or statement.kind == "key":
            continue
        for kind, name in statement.principals:
            if kind == "Service" and name in GUARDED_SERVICES:
                if not wanted & statement.condition_keys:
                    yield f"{statement.where} lets {name} act for any account"
            elif kind == "Federated" and not any(
                key.endswith(":sub") for key in statement.condition_keys
            ):
                yield f"{statement.where} trusts everybody at {name}"


@rule
def roles_are_passed_to_one_service(template: Template) -> Iterator[str]:
    """iam:PassRole says to whom, or a role could be used for something else."""
    for statement in statements(template):
        passes = statement.allows and "iam:PassRole" in statement.actions
        if passes and "iam:PassedToService" not in statement.condition_keys:
            yield f"{statement.where} passes roles to any service"


@rule
def policies_fit(template: Template) -> Iterator[str]:
    """IAM's limits, roughly: a managed policy has 6,144 characters, a role's own ones 10,240."""
    import json

    def size(document: object) -> int:
        text = json.dumps(document, separators=(",", ":"))
        for short, real in (("${AWS::Partition}", "aws"), ("${AWS::Region}", "ap-southeast-1")):
            text = text.replace(short, real)
        text = text.replace("${AWS::AccountId}", "123456789012").replace("${Project}", "x" * 32)
        return len(text.replace('{"Fn::Sub":"', '"').replace('"}', '"'))

    for logical_id, properties in template.of_type("AWS::IAM::ManagedPolicy"):
        if size(properties["PolicyDocument"]) > 6_144:
            yield f"{logical_id} has about {size(properties['PolicyDocument'])} characters"
    for logical_id, properties in template.of_type("AWS::IAM::Role"):
        if size(properties.get("Policies", [])) > 10_240:
            yield f"{logical_id} has about {size(properties['Policies'])} characters"
