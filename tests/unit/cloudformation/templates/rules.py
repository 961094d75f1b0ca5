"""The register of rules, and those that hold for every template whatever it is about."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.unit.cloudformation.templates.template import Template, references, walk

Rule = Callable[[Template], Iterator[str]]
"""Yields one message for each place where a template breaks it; the message names the place."""

RULES: dict[str, Rule] = {}

STATEFUL = {
    "AWS::Cognito::UserPool": True,
    "AWS::DynamoDB::Table": True,
    "AWS::ECR::Repository": True,
    "AWS::EFS::FileSystem": True,
    "AWS::KMS::Key": True,
    "AWS::RDS::DBCluster": True,
    "AWS::RDS::DBInstance": True,
    "AWS::S3::Bucket": True,
    "AWS::SageMaker::ModelPackageGroup": True,
    "AWS::SecretsManager::Secret": True,
    "AWS::Logs::LogGroup": False,
    "AWS::SQS::Queue": False,
    "AWS::SageMaker::Endpoint": False,
    "AWS::SageMaker::EndpointConfig": False,
    "AWS::SageMaker::Model": False,
}
"""Types that hold something; True if it must outlive its stack."""


def rule(function: Rule) -> Rule:
    """Register a rule by its name."""
    RULES[function.__name__] = function
    return function


@rule
def short_and_ascii(template: Template) -> Iterator[str]:
    """A request carries 51,200 bytes, and CloudFormation shows anything but ASCII as '?'."""
    size = len(template.text.encode())
    if size > 51_200:
        yield f"{size} bytes; a request carries 51,200"
    for number, line in enumerate(template.text.splitlines(), 1):
        if not line.isascii():
            yield f"line {number} is not ASCII"


@rule
def described(template: Template) -> Iterator[str]:
    """A template, its parameters and its outputs say what they are."""
    if not template.body.get("Description"):
        yield "the template has no Description"
    for section in ("Parameters", "Outputs"):
        for name, entry in template.body.get(section, {}).items():
            if not entry.get("Description"):
                yield f"{section}.{name} has no Description"


@rule
def parameters_are_used(template: Template) -> Iterator[str]:
    """Each parameter changes something."""
    sections = ("Conditions", "Resources", "Outputs")
    used = references({name: template.body.get(name, {}) for name in sections})
    for name in template.parameters.keys() - used:
        yield f"parameter {name} is used nowhere"


@rule
def what_holds_data_says_its_fate(template: Template) -> Iterator[str]:
    """DeletionPolicy and UpdateReplacePolicy are decided; what cannot be made again is kept."""
    for logical_id, resource in template.resources.items():
        if resource["Type"] not in STATEFUL:
            continue
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            fate = resource.get(policy)
            if fate is None:
                yield f"{logical_id} has no {policy}"
            elif fate == "Delete" and STATEFUL[resource["Type"]]:
                yield f"{logical_id}: {policy} must not be Delete"


@rule
def no_secrets_in_the_open(template: Template) -> Iterator[str]:
    """Secrets come from Secrets Manager; a parameter for one hides its value and has no default."""
    words = ("password", "secret", "token", "apikey")
    names = ("arn", "endpoint", "name", "id", "duration", "days", "seconds")
    for name, parameter in template.parameters.items():
        if not any(word in name.lower() for word in words) or name.lower().endswith(names):
            continue
        if str(parameter.get("NoEcho", "false")).lower() != "true" or "Default" in parameter:
            yield f"parameter {name} must have NoEcho and no Default"
    for path, value in walk(template.resources):
        key = path[-1] if path else ""
        if key in _SECRET_PROPERTIES and not _is_dynamic(value, template):
            yield f"{'.'.join(path)} is a secret in the open"
    for path, value in walk(template.resources):
        if path and path[-1] == "Environment" and isinstance(value, list):
            for entry in value:
                if any(word in str(entry.get("Name", "")).lower() for word in words):
                    yield f"{'.'.join(path)}: {entry['Name']} belongs into Secrets"


_SECRET_PROPERTIES = ("MasterUserPassword", "ClientSecret", "SecretString", "Password", "AuthToken")


def _is_dynamic(value: Any, template: Template) -> bool:
    if isinstance(value, bool):  # whether there is one: GenerateSecret: true
        return True
    if isinstance(value, dict):
        hidden = template.parameters.get(value.get("Ref", ""), {}).get("NoEcho")
        return "{{resolve:" in str(value) or str(hidden).lower() == "true"
    return isinstance(value, str) and value.startswith("{{resolve:")
