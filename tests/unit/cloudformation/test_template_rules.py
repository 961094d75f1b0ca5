"""Our rules for templates catch what they are for: a check that cannot fail is a defect."""

import pytest

from tests.unit.cloudformation.templates import rules_compute, rules_data, rules_iam
from tests.unit.cloudformation.templates.bad import BAD
from tests.unit.cloudformation.templates.rules import RULES
from tests.unit.cloudformation.templates.template import Template, branches, items, references

pytestmark = pytest.mark.unit

MODULES = (rules_compute, rules_data, rules_iam)


@pytest.mark.parametrize(("name", "words", "text"), BAD)
def test_it_catches_what_is_bad(name, words, text):
    whole = text if "Resources:" in text else f"Resources:\n  {text}"
    broken = list(RULES[name](Template("bad.yaml", whole)))
    assert any(words in message for message in broken), broken


def test_every_rule_has_something_bad_to_catch():
    assert set(RULES) == {name for name, _, _ in BAD}


def test_every_rule_explains_itself():
    assert all(rule.__doc__ for rule in RULES.values())


def test_both_branches_of_a_condition_are_looked_at():
    node = {"Fn::If": ["A", {"Fn::If": ["B", "x", {"Ref": "AWS::NoValue"}]}, ["y", "z"]]}
    assert branches(node) == ["x", ["y", "z"]]
    assert items(node) == ["x", "y", "z"]


def test_references_are_found_in_every_form():
    node = {
        "a": {"Ref": "A"},
        "b": {"Fn::GetAtt": ["B", "Arn"]},
        "c": {"Fn::Sub": "x${C.Arn}${!D}"},
        "e": {"Fn::Sub": ["${F}", {"F": {"Ref": "E"}}]},
    }
    assert references(node) == {"A", "B", "C", "E", "F"}
