"""IAM as far as moto has none: the simulation of policies, and the refusal of what they deny.

A caller with the test bed's own keys (``testing``) may do everything. A user of moto's IAM or a
session of one of its roles may do what the policies say, for the calls in ``authorization.py``.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from werkzeug import Response

from tests.testbed.authorization import Request, requests_of
from tests.testbed.calls import Call
from tests.testbed.iam import Statement, applies
from tests.testbed.state import ACCOUNT, ApiError, State

_IAM = "https://iam.amazonaws.com/doc/2010-05-08/"


class Denied(Exception):
    """A call that the caller's policies do not allow."""


@dataclass
class Decision:
    """``allowed``, ``implicitDeny`` or ``explicitDeny``, and what was not known.

    Attributes:
        missing: condition keys of statements about the action that the context lacks.
    """

    effect: str = "implicitDeny"
    missing: set[str] = field(default_factory=set)


def decide(
    statements: Iterable[Statement], action: str, resource: str, context: Mapping[str, str]
) -> Decision:
    """What the statements say, all together."""
    decision, known = Decision(), {key.lower() for key in context}
    for statement in statements:
        if not applies({**statement, "Condition": {}}, action, resource, {}):
            continue
        for operator, keys in statement.get("Condition", {}).items():
            if operator != "Null" and not operator.endswith("IfExists"):
                decision.missing |= {key for key in keys if key.lower() not in known}
        if applies(statement, action, resource, context):
            if statement["Effect"] == "Deny":
                decision.effect = "explicitDeny"
            elif decision.effect == "implicitDeny":
                decision.effect = "allowed"
    return decision


def check(state: State, call: Call) -> None:
    """Raises Denied, in AWS's words."""
    who = _caller(getattr(state.request, "access_key", ""))
    if who is None:
        return
    arn, statements = who
    for request in requests_of(state, call):
        decision = _decide(statements, request)
        if decision.effect != "allowed":
            why = {
                "implicitDeny": f"no identity-based policy allows the {request.action} action",
                "explicitDeny": "of an explicit deny in an identity-based policy",
            }[decision.effect]
            raise Denied(
                f"User: {arn} is not authorized to perform: {request.action} on resource: "
                f"{request.resource} because {why}"
            )


def _decide(statements: list[Statement], request: Request) -> Decision:
    context = {"aws:SecureTransport": "true", **request.context}
    return decide(statements, request.action, request.resource, context)


def _caller(access_key: str) -> tuple[str, list[Statement]] | None:
    """(ARN, statements) of a role's session or a user; None for anybody else."""
    from moto.iam.models import iam_backends
    from moto.sts.models import sts_backends

    session = sts_backends[ACCOUNT]["aws"].get_assumed_role_from_access_key(access_key)
    if session is not None:
        return session.arn, statements_of(session.role_arn)
    user = iam_backends[ACCOUNT]["aws"].get_user_from_access_key_id(access_key)
    return (user.arn, statements_of(user.arn)) if user is not None else None


def statements_of(arn: str) -> list[Statement]:
    """All statements for a role or a user, its groups included. Raises ApiError NoSuchEntity."""
    from moto.iam.models import iam_backends

    backend = iam_backends[ACCOUNT]["aws"]
    holders: list[Any] = [
        item for item in (*backend.roles.values(), *backend.users.values()) if item.arn == arn
    ]
    if not holders:
        raise ApiError("NoSuchEntity", f"The principal {arn} cannot be found.", 404)
    if ":user/" in arn:
        holders += backend.get_groups_for_user(holders[0].name)
    texts: list[str] = []
    for holder in holders:
        texts += holder.policies.values()
        for policy in holder.managed_policies.values():
            texts += [version.document for version in policy.versions if version.is_default]
    found = [json.loads(text)["Statement"] for text in texts]
    return [item for part in found for item in (part if isinstance(part, list) else [part])]


# --- simulation -----------------------------------------------------------------------------


def _simulate(state: State, request: dict[str, Any]) -> Response:
    try:
        statements = statements_of(request["PolicySourceArn"])
    except ApiError as error:
        return _xml_error(str(error), error.code, error.status)
    context = {
        request[f"ContextEntries.member.{number}.ContextKeyName"]: _members(
            request, f"ContextEntries.member.{number}.ContextKeyValues"
        )[0]
        for number in range(1, 100)
        if f"ContextEntries.member.{number}.ContextKeyName" in request
    }
    results = [
        _result(decide(statements, action, resource, context), action, resource)
        for resource in _members(request, "ResourceArns") or ["*"]
        for action in _members(request, "ActionNames")
    ]
    body = (
        f'<SimulatePrincipalPolicyResponse xmlns="{_IAM}"><SimulatePrincipalPolicyResult>'
        f"<EvaluationResults>{''.join(results)}</EvaluationResults>"
        "<IsTruncated>false</IsTruncated></SimulatePrincipalPolicyResult><ResponseMetadata>"
        "<RequestId>standin</RequestId></ResponseMetadata></SimulatePrincipalPolicyResponse>"
    )
    return Response(body, 200, content_type="text/xml")


def _result(decision: Decision, action: str, resource: str) -> str:
    missing = "".join(f"<member>{escape(key)}</member>" for key in sorted(decision.missing))
    return (
        f"<member><EvalActionName>{escape(action)}</EvalActionName>"
        f"<EvalResourceName>{escape(resource)}</EvalResourceName>"
        f"<EvalDecision>{decision.effect}</EvalDecision><MatchedStatements/>"
        f"<MissingContextValues>{missing}</MissingContextValues></member>"
    )


def _members(request: dict[str, Any], name: str) -> list[str]:
    """A list of the query protocol: ``Name.member.1``, ``Name.member.2`` …"""
    found: list[str] = []
    while f"{name}.member.{len(found) + 1}" in request:
        found.append(request[f"{name}.member.{len(found) + 1}"])
    return found


def _xml_error(message: str, code: str, status: int) -> Response:
    body = (
        f'<ErrorResponse xmlns="{_IAM}"><Error><Type>Sender</Type><Code>{code}</Code>'
        f"<Message>{escape(message)}</Message></Error></ErrorResponse>"
    )
    return Response(body, status, content_type="text/xml")


SERVICES = {("iam", "SimulatePrincipalPolicy"): _simulate}
