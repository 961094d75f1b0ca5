"""Simulate with IAM whether the caller and the roles have the permissions that the line needs.

The simulation covers policies of roles and users, permission boundaries and the organization's
policies; it does not cover policies of buckets and keys.
https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from imgclf_dagster.doctor.aws_account import FOUNDATION, Account, finding_of_error
from imgclf_dagster.doctor.aws_role_needs import (
    Need,
    caller_needs,
    endpoint_needs,
    job_needs,
    stack_needs,
    usual_context,
)
from imgclf_dagster.doctor.findings import Finding, Look, side_by_side
from resources.aws.errors import error_code, is_denied

_REMEDY = f"{FOUNDATION} again, or compare its policies with cloudformation/foundation.yaml"


def role_looks(account: Account) -> dict[str, Look]:
    """Return one check for the caller and one for each configured role, by name."""
    aws = account.settings.aws
    roles: tuple[tuple[str, str, str, Callable[[Account], Iterable[Need]]], ...] = (
        ("jobs", aws.job_role_arn, "sagemaker", job_needs),
        ("endpoints", aws.endpoint_role_arn, "sagemaker", endpoint_needs),
        ("stacks", aws.cloudformation_role_arn, "cloudformation", stack_needs),
    )
    looks: dict[str, Look] = {"permissions of the caller": partial(_look_at_caller, account)}
    for name, arn, service, needs in roles:
        if arn:
            what = f"role of the {name}"
            looks[what] = partial(_look_at_role, account, what, arn, service, needs)
    return looks


def _look_at_caller(account: Account) -> Iterator[Finding]:
    what = "permissions of the caller"
    arn = _principal(account)
    if arn is None:
        yield Finding(
            what,
            "warning",
            f"{account.arn} cannot be simulated: it is neither a role nor an IAM user",
            "let the line run under the role of the orchestrator (cloudformation/foundation.yaml)",
        )
        return
    yield from _simulated(account, what, arn, caller_needs(account))


def _look_at_role(
    account: Account,
    what: str,
    arn: str,
    service: str,
    needs: Callable[[Account], Iterable[Need]],
) -> Iterator[Finding]:
    from botocore.exceptions import ClientError

    try:
        role = account.client("iam").get_role(RoleName=arn.rpartition("/")[2])["Role"]
    except ClientError as error:
        if not is_denied(error):
            if error_code(error) != "NoSuchEntity":
                raise
            yield Finding(what, "failed", f"there is no role {arn}", FOUNDATION)
            return
        yield finding_of_error(what, error)  # its permissions can be simulated nevertheless
    else:
        if not _trusts(role["AssumeRolePolicyDocument"], f"{service}.amazonaws.com"):
            detail = f"{arn} does not let {service}.amazonaws.com assume it"
            yield Finding(what, "failed", detail, _REMEDY)
            return
    yield from _simulated(account, what, arn, needs(account))


def _trusts(document: dict[str, Any], service: str) -> bool:
    """Whether a role's trust policy allows a service to assume the role."""
    statements = document.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal", {})
        named = principal.get("Service", []) if isinstance(principal, dict) else principal
        if statement.get("Effect") == "Allow" and service in (
            [named] if isinstance(named, str) else named
        ):
            return True
    return False


def _simulated(account: Account, what: str, arn: str, needs: Iterable[Need]) -> Iterator[Finding]:
    """Yield the findings on a principal: denied and conditional actions, or that all are allowed."""
    denied: list[str] = []
    unclear: list[str] = []
    asked = list(needs)
    answers = side_by_side(partial(_results, account, arn), asked)
    for need, results in zip(asked, answers, strict=True):
        for result in results:
            if result["EvalDecision"] == "allowed":
                continue
            text = f"{result['EvalActionName']} on {need.resource}"
            missing = result.get("MissingContextValues")
            if missing and result["EvalDecision"] == "implicitDeny":
                unclear.append(f"{text} (it depends on {', '.join(missing)})")
            else:
                forbidden = result["EvalDecision"] == "explicitDeny"
                denied.append(f"{text} (by an explicit Deny)" if forbidden else text)
    if denied:
        yield Finding(what, "failed", f"{arn} may not {'; '.join(denied)}", _REMEDY)
    if unclear:
        yield Finding(what, "warning", f"{arn} may perhaps not {'; '.join(unclear)}", _REMEDY)
    if not denied and not unclear:
        yield Finding(what, "ok", arn)


def _results(account: Account, arn: str, need: Need) -> list[Any]:
    context = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": kind}
        for key, (kind, value) in {**usual_context(account), **need.context}.items()
    ]
    answer = account.client("iam").simulate_principal_policy(
        PolicySourceArn=arn,
        ActionNames=list(need.actions),
        ResourceArns=[need.resource],
        ContextEntries=context,
    )
    results: list[Any] = answer["EvaluationResults"]
    return results


def _principal(account: Account) -> str | None:
    """Return the ARN that IAM can simulate for the caller: a user, or the role behind its session."""
    from botocore.exceptions import ClientError

    if ":assumed-role/" not in account.arn:
        return account.arn if ":iam:" in account.arn and ":user/" in account.arn else None
    name = account.arn.split("/")[1]
    try:  # a session's ARN lacks the role's path
        arn: str = account.client("iam").get_role(RoleName=name)["Role"]["Arn"]
    except ClientError:
        arn = f"arn:{account.partition}:iam::{account.id}:role/{name}"
    return arn
