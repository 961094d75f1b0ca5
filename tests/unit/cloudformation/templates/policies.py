"""The IAM policies in a template, wherever a resource keeps them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.unit.cloudformation.templates.template import Template, branches, items

_KEYS = {
    "AWS::IAM::Role": "AssumeRolePolicyDocument",
    "AWS::IAM::Policy": "PolicyDocument",
    "AWS::IAM::RolePolicy": "PolicyDocument",
    "AWS::IAM::ManagedPolicy": "PolicyDocument",
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SQS::QueuePolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::KMS::Key": "KeyPolicy",
    "AWS::ECR::Repository": "RepositoryPolicyText",
    "AWS::SecretsManager::ResourcePolicy": "ResourcePolicy",
    "AWS::Logs::ResourcePolicy": "PolicyDocument",
    "AWS::SageMaker::ModelPackageGroup": "ModelPackageGroupPolicy",
}


@dataclass(frozen=True)
class Statement:
    """One statement of a policy.

    Attributes:
        where: ``<logical id>/<policy>/<sid or number>``, for messages.
        kind: ``trust`` of a role, ``identity`` (attached to one), ``resource`` or ``key``.
    """

    where: str
    kind: str
    body: dict[str, Any]

    @property
    def allows(self) -> bool:
        return self.body["Effect"] == "Allow"

    @property
    def actions(self) -> list[str]:
        return items(self.body.get("Action", []))

    @property
    def resources(self) -> list[Any]:
        return items(self.body.get("Resource", []))

    @property
    def conditions(self) -> dict[str, dict[str, Any]]:
        return self.body.get("Condition", {})

    @property
    def condition_keys(self) -> set[str]:
        return {key for block in self.conditions.values() for key in block}

    @property
    def principals(self) -> list[tuple[str, Any]]:
        """Kind and name: ``("Service", "sagemaker.amazonaws.com")``; ``("*", "*")`` is anybody."""
        principal = self.body.get("Principal", {})
        if isinstance(principal, str):
            return [(principal, principal)]
        return [(kind, name) for kind, names in principal.items() for name in items(names)]


def statements(template: Template) -> Iterator[Statement]:
    """All statements of all policies of a template, those of every branch."""
    for logical_id, resource in template.resources.items():
        properties = resource.get("Properties", {})
        key = _KEYS.get(resource["Type"])
        if key and key in properties:
            kind = {"AWS::IAM::Role": "trust", "AWS::KMS::Key": "key"}.get(resource["Type"])
            kind = kind or ("identity" if "::IAM::" in resource["Type"] else "resource")
            yield from _of(f"{logical_id}/{key}", kind, properties[key])
        for policy in items(properties.get("Policies", [])):
            if isinstance(policy, dict) and "PolicyDocument" in policy:
                where = f"{logical_id}/{policy.get('PolicyName', '')}"
                yield from _of(where, "identity", policy["PolicyDocument"])


def _of(where: str, kind: str, document: Any) -> Iterator[Statement]:
    for version in branches(document):
        for number, body in enumerate(items(version["Statement"])):
            yield Statement(f"{where}/{body.get('Sid', number)}", kind, body)
