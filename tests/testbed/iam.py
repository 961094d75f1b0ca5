"""IAM's decision for one call, from the policies that apply to it.

As far as our policies go: identity policies and one resource policy in one account
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html).
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Any

Statement = Mapping[str, Any]


def is_allowed(
    statements: Iterable[Statement],
    action: str,
    resource: str,
    context: Mapping[str, str] | None = None,
) -> bool:
    """Whether a call is allowed: something allows it, and nothing refuses it.

    Args:
        statements: of all policies that apply; principals are not looked at.
        context: condition keys of the call.
    """
    applying = [
        statement["Effect"]
        for statement in statements
        if applies(statement, action, resource, context or {})
    ]
    return "Allow" in applying and "Deny" not in applying


def applies(statement: Statement, action: str, resource: str, context: Mapping[str, str]) -> bool:
    """Whether a statement is about the call."""
    if "NotAction" in statement or "NotResource" in statement:
        raise NotImplementedError("statements by exclusion are against our rules")
    return (
        any(_like(action.lower(), pattern.lower()) for pattern in _list(statement["Action"]))
        and any(_like(resource, pattern) for pattern in _list(statement.get("Resource", "*")))
        and all(
            _holds(operator, key, _list(wanted), context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _holds(operator: str, key: str, wanted: list[str], context: Mapping[str, str]) -> bool:
    found = {name.lower(): value for name, value in context.items()}.get(key.lower())
    if operator == "Null":
        return (found is None) == (str(wanted[0]).lower() == "true")
    if operator.endswith("IfExists"):
        return found is None or _holds(operator.removesuffix("IfExists"), key, wanted, context)
    negated = "Not" in operator
    kind = operator.replace("Not", "")
    if found is None:  # a missing key matches nothing; so what must not match, does not
        return negated
    match kind:
        case "StringEquals":
            matches = found in wanted
        case "StringLike" | "ArnLike" | "ArnEquals":
            matches = any(_like(found, pattern) for pattern in wanted)
        case "Bool":
            matches = found.lower() in {str(value).lower() for value in wanted}
        case _:
            raise NotImplementedError(operator)
    return matches != negated


def _like(text: str, pattern: str) -> bool:
    """IAM's wildcards: ``*`` and ``?``; brackets stand for themselves."""
    literal = re.sub(r"([\[\]])", r"[\1]", pattern)
    return fnmatch.fnmatchcase(text, literal)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
