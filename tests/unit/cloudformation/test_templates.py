"""Every template of ``cloudformation/``: linted, held to our rules, each resource looked at."""

import importlib
import json
import re

import pytest

from imgclf_dagster.settings.aws import AwsSettings
from tests.unit.cloudformation.templates import rules_compute, rules_data, rules_iam
from tests.unit.cloudformation.templates.policies import statements
from tests.unit.cloudformation.templates.rules import RULES
from tests.unit.cloudformation.templates.template import FOLDER, NAMES, Template, references, walk

pytestmark = pytest.mark.unit

REGIONS = ["us-east-1", "eu-central-1"]
MODULES = (rules_compute, rules_data, rules_iam)


@pytest.fixture(params=NAMES)
def template(request):
    return Template.ours(request.param)


def test_cfn_lint_has_nothing_to_say(template):
    from cfnlint.api import lint_file
    from cfnlint.config import ManualArgs

    found = lint_file(FOLDER / template.name, config=ManualArgs(regions=REGIONS))
    assert not found, "\n".join(str(match) for match in found)


@pytest.mark.parametrize("name", sorted(RULES))
def test_our_rules_hold(template, name):
    broken = list(RULES[name](template))
    assert not broken, f"{template.name}: {RULES[name].__doc__}\n" + "\n".join(broken)


def test_every_resource_is_looked_at(template):
    """``EXPECTED`` of ``expect_<template>.py`` names each resource and says what matters of it."""
    name = template.name.removesuffix(".yaml").replace("-", "_")
    expected = importlib.import_module(
        f"tests.unit.cloudformation.templates.expect_{name}"
    ).EXPECTED
    assert set(template.resources) == set(expected), "resources and expectations differ"
    for logical_id, look in expected.items():
        try:
            look(template.resources[logical_id])
        except (AssertionError, KeyError) as error:
            raise AssertionError(f"{template.name}: {logical_id}: {error!r}") from error


def test_foundation_outputs_what_the_settings_take():
    """``imgclf deploy foundation`` writes them to ``aws.toml``."""
    from imgclf_dagster.cloud.stack_requests import FOUNDATION_SETTINGS

    outputs = Template.ours("foundation.yaml").body["Outputs"]
    assert set(FOUNDATION_SETTINGS.values()) <= set(outputs)
    assert set(FOUNDATION_SETTINGS) <= set(AwsSettings.model_fields)
    arns = {name for name in AwsSettings.model_fields if name.endswith(("_arn", "_url"))}
    assert arns <= set(FOUNDATION_SETTINGS)


@pytest.mark.parametrize("stage", ["staging", "prod"])
def test_stages_decide_only_what_the_template_takes(stage):
    chosen = json.loads((FOLDER / "stages" / f"{stage}.json").read_text())
    assert set(chosen) <= {"Parameters", "Tags"}
    assert set(chosen["Parameters"]) <= set(Template.ours("endpoint.yaml").parameters)
    assert all(isinstance(value, str) for value in chosen["Parameters"].values())


def deciding(template, node):
    """Names of the parameters that decide a node, those of its conditions included."""
    found, pending = set(), [node]
    while pending:
        names = references(pending[-1])
        conditions = {
            value[0] if path[-1] == "Fn::If" else value
            for path, value in walk(pending.pop())
            if path and path[-1] in ("Fn::If", "Condition")
        }
        found |= names & set(template.parameters)
        pending += [template.body["Conditions"][name] for name in conditions]
    return found


def test_whatever_changes_the_endpoint_makes_it_a_new_configuration():
    """SageMaker updates an endpoint to another configuration only, and so would CloudFormation."""
    template = Template.ours("endpoint.yaml")
    given = template.resources["Endpoint"]["Properties"]
    of_the_endpoint = {
        name
        for key, value in given.items()
        if key not in ("EndpointName", "EndpointConfigName", "Tags")
        for name in deciding(template, value)
    }
    assert {"CanaryPercentage", "MaxErrorRatePercent", "MaxInstanceCount"} <= of_the_endpoint
    replaced = [
        {k: v for k, v in template.resources[name]["Properties"].items() if k != "Tags"}
        for name in ("Model", "EndpointConfig")
    ]
    assert of_the_endpoint <= deciding(template, replaced)


def test_the_documentation_lists_what_is_allowed_on_every_resource():
    text = (FOLDER.parent / "docs" / "aws.md").read_text(encoding="utf-8")
    table = text.partition("| action | why |")[2].partition("\n## ")[0]
    assert set(re.findall(r"`([a-z0-9-]+:[A-Za-z]+)`", table)) == set(rules_iam.ANY_RESOURCE)
    used = {
        action
        for name in NAMES
        for statement in statements(Template.ours(name))
        if statement.allows and statement.kind != "key" and "*" in statement.resources
        for action in statement.actions
    }
    assert used == set(rules_iam.ANY_RESOURCE), "an exception that nobody needs is a hole"


def test_the_documentation_names_every_parameter_of_the_foundation():
    text = (FOLDER.parent / "docs" / "aws.md").read_text(encoding="utf-8")
    parameters = set(Template.ours("foundation.yaml").parameters) - {"Project", "KeyPrefix"}
    assert parameters <= set(re.findall(r"`([A-Za-z]+)`", text))
