"""Looks at one resource, for ``EXPECTED`` of ``expect_<template>.py``: what matters of it."""

from collections.abc import Callable
from typing import Any

Resource = dict[str, Any]
Look = Callable[[Resource], None]


def has(**expected: Any) -> Look:
    """Properties of these very values."""

    def look(resource: Resource) -> None:
        for name, value in expected.items():
            assert resource["Properties"][name] == value, name

    return look


def under(condition: str, *looks: Look) -> Look:
    """Made only under a condition."""

    def look(resource: Resource) -> None:
        assert resource["Condition"] == condition
        for one in looks:
            one(resource)

    return look


def kept(*looks: Look) -> Look:
    """Outlives its stack, except where its very creation fails."""

    def look(resource: Resource) -> None:
        assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
        assert resource["UpdateReplacePolicy"] == "Retain"
        for one in looks:
            one(resource)

    return look


def both(*looks: Look) -> Look:
    """All of them."""

    def look(resource: Resource) -> None:
        for one in looks:
            one(resource)

    return look


def trusts(*principals: dict[str, Any]) -> Look:
    """A role that these may take, those of every branch included."""

    def look(resource: Resource) -> None:
        trust = resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        found = [
            (entry["Fn::If"][1] if "Fn::If" in entry else entry)["Principal"] for entry in trust
        ]
        assert found == list(principals)

    return look


def says(*sids: str) -> Look:
    """A policy whose statements are these, in this order; those of a role's own policies."""

    def look(resource: Resource) -> None:
        given = resource["Properties"]
        documents = [policy["PolicyDocument"] for policy in given.get("Policies", [])]
        document = given.get("PolicyDocument") or given.get("KeyPolicy")
        documents += [document] if document else []
        found = [
            (entry["Fn::If"][1] if "Fn::If" in entry else entry).get("Sid", "")
            for document in documents
            for entry in document["Statement"]
        ]
        assert found == list(sids)

    return look


def service(name: str) -> dict[str, str]:
    return {"Service": name}


def ref(name: str) -> dict[str, str]:
    return {"Ref": name}


def att(name: str, attribute: str = "Arn") -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, attribute]}


def sub(text: str) -> dict[str, str]:
    return {"Fn::Sub": text}
