"""CloudFormation change sets: the changes that a template would make, before they are made."""

import hashlib
import math
from dataclasses import replace
from typing import Any

from resources.stacks.errors import StackBusy, StackError
from resources.stacks.plan import StackChange, StackPlan, StackRequest
from resources.waiting import poll

INLINE_LIMIT = 51_200
"""Most bytes of a template in a request; a longer one must be in a bucket
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html)."""

TEMPLATE_LIMIT = 1_048_576
"""Most bytes of a template in a bucket (same page)."""

_NOTHING = ("didn't contain changes", "No updates are to be performed")
"""Reasons of a FAILED change set that has nothing to change."""

_RESTS = ("AVAILABLE", "EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE")


def create_change_set(
    client: Any, request: StackRequest, *, body: dict[str, str], creates: bool, generation: str
) -> StackPlan:
    """Create a change set, or find the one that an earlier call for the same request created.

    Args:
        client: boto3's for ``cloudformation``.
        request: the stack's wanted state.
        body: TemplateBody or TemplateURL.
        creates: whether the stack is new.
        generation: text that changes with every change of the stack, so that no outdated change set
            is found.

    Raises:
        StackError: the template or a parameter is wrong.
    """
    age = hashlib.sha256(generation.encode()).hexdigest()[:8]
    name = f"{request.token}-{age}"
    try:
        answer = client.create_change_set(
            StackName=request.name,
            ChangeSetName=name,
            ChangeSetType="CREATE" if creates else "UPDATE",
            Description="imgclf deploys",
            Parameters=_parameters(client, request, body, creates),
            Capabilities=list(request.capabilities),
            Tags=[{"Key": key, "Value": value} for key, value in sorted(request.tags.items())],
            **({"RoleARN": request.role_arn} if request.role_arn else {}),
            **body,
        )
        # With the stack's name: permissions are given on stacks, not on change sets.
        where = {"ChangeSetName": answer["Id"], "StackName": answer["StackId"]}
    except client.exceptions.AlreadyExistsException:
        where = {"ChangeSetName": name, "StackName": request.name}
    except client.exceptions.ClientError as error:
        explained = _explained(error.response["Error"], request.name)
        if explained is None:
            raise
        raise explained from error
    return _described(client, request, where, creates)


def discard(client: Any, plan: StackPlan) -> None:
    """Delete a change set that will not be executed, and the empty stack created for it."""
    if plan.change_set_id:
        client.delete_change_set(ChangeSetName=plan.change_set_id, StackName=plan.stack_id)
    if plan.creates and status_of(client, plan.stack_id) == "REVIEW_IN_PROGRESS":
        client.delete_stack(StackName=plan.request.name)


def status_of(client: Any, name: str) -> str:
    """Return the stack's status; "" if there is none."""
    stack = describe(client, name)
    return stack["StackStatus"] if stack else ""


def describe(client: Any, name: str) -> dict[str, Any] | None:
    """Return DescribeStacks' answer about a stack; ``None`` if there is none."""
    try:
        stack: dict[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
    except client.exceptions.ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return stack


def generation_of(stack: dict[str, Any] | None) -> str:
    """Return a text that changes with every change of the stack."""
    if stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        return "new"
    return f"{stack['StackId']} {stack.get('LastUpdatedTime') or stack['CreationTime']}"


def template_argument(request: StackRequest, s3: Any, bucket: str, prefix: str) -> dict[str, str]:
    """Return the request's TemplateBody, or upload the template and return its TemplateURL.

    Args:
        request: has the template.
        s3: returns boto3's client of S3; called only for a template too long for a request.
        bucket: for long templates; "" if there is none.
        prefix: of the object's key.

    Raises:
        StackError: the template is too long, or there is no bucket for it.
    """
    data = request.template.encode()
    if len(data) <= INLINE_LIMIT:
        return {"TemplateBody": request.template}
    if len(data) > TEMPLATE_LIMIT:
        raise StackError(f"{request.name}: the template has {len(data)} bytes: above 1 MB")
    if not bucket:
        raise StackError(
            f"{request.name}: the template has {len(data)} bytes: above {INLINE_LIMIT} it must "
            "lie in a bucket; deploy the foundation first, and set aws.bucket"
        )
    client = s3()
    name = f"{hashlib.sha256(data).hexdigest()}.yaml"
    key = "/".join(part for part in (prefix.strip("/"), "deployments/templates", name) if part)
    client.put_object(Bucket=bucket, Key=key, Body=data, ContentType="application/yaml")
    return {"TemplateURL": f"{client.meta.endpoint_url}/{bucket}/{key}"}


def _parameters(
    client: Any, request: StackRequest, body: dict[str, str], creates: bool
) -> list[dict[str, Any]]:
    """Return the given parameters, and those of an existing stack with their previous values."""
    given = [
        {"ParameterKey": key, "ParameterValue": value}
        for key, value in sorted(request.parameters.items())
    ]
    if creates:
        return given
    summary = client.get_template_summary(**body)
    declared = {item["ParameterKey"] for item in summary.get("Parameters", [])}
    stack = client.describe_stacks(StackName=request.name)["Stacks"][0]
    kept = {item["ParameterKey"] for item in stack.get("Parameters", [])} & declared
    return given + [
        {"ParameterKey": key, "UsePreviousValue": True}
        for key in sorted(kept - set(request.parameters))
    ]


def _described(
    client: Any, request: StackRequest, where: dict[str, str], creates: bool
) -> StackPlan:
    """Wait until the change set is complete, and read all of it.

    Raises:
        StackError: CloudFormation refuses it.
    """
    # No waiter of boto3: it returns no answer, and raises for a change set that changes nothing.
    found = poll(
        lambda: client.describe_change_set(**where),
        lambda seen: seen["Status"] not in {"CREATE_PENDING", "CREATE_IN_PROGRESS"},
        deadline=math.inf,
        poll_s=1,
    )
    plan = StackPlan(
        request=request,
        stack_id=found["StackId"],
        change_set_id=found["ChangeSetId"],
        creates=creates,
    )
    if found["Status"] == "FAILED" or found["ExecutionStatus"] not in _RESTS:
        reason = found.get("StatusReason", "")
        discard(client, plan)
        if any(sign in reason for sign in _NOTHING):
            return replace(plan, change_set_id="")
        raise StackError(
            f"{request.name}: CloudFormation refuses the change: {reason or found['Status']}"
        )
    changes = [_change(item) for item in found.get("Changes", [])]
    while found.get("NextToken"):
        found = client.describe_change_set(**where, NextToken=found["NextToken"])
        changes.extend(_change(item) for item in found.get("Changes", []))
    return replace(plan, changes=tuple(changes))


def _change(item: dict[str, Any]) -> StackChange:
    change = item["ResourceChange"]
    targets = [detail.get("Target", {}) for detail in change.get("Details", [])]
    names = {target.get("Name") or target.get("Attribute") or "" for target in targets}
    return StackChange(
        action=change["Action"],
        logical_id=change["LogicalResourceId"],
        resource_type=change["ResourceType"],
        replacement=change.get("Replacement", "False"),
        because=tuple(sorted(names - {""})),
    )


def _explained(error: dict[str, str], name: str) -> StackError | None:
    """Convert an error of the template or the stack; ``None`` for other errors."""
    message = f"{name}: {error['Message']}"
    match error["Code"]:
        case "ValidationError" if "_IN_PROGRESS state" in message:
            return StackBusy(message)
        case "ValidationError":
            return StackError(message)
        case "InsufficientCapabilitiesException":
            return StackError(f"{message}; deploy it with the capabilities named")
        case "LimitExceededException":
            return StackError(f"{message}; delete what is unused, or have the quota raised")
    return None
