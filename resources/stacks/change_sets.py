"""CloudFormation change sets: what a template would change, said before it is done."""

import hashlib
import time
from dataclasses import replace
from typing import Any

from resources.stacks.errors import StackBusy, StackError
from resources.stacks.plan import StackChange, StackPlan, StackRequest

INLINE_LIMIT = 51_200
"""Bytes of a template that a request may carry; a longer one must lie in a bucket
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html)."""

TEMPLATE_LIMIT = 1_048_576
"""Bytes of a template in a bucket (same page)."""

_NOTHING = ("didn't contain changes", "No updates are to be performed")
"""How CloudFormation says that the stack is so already; the change set is then FAILED."""

_RESTS = ("AVAILABLE", "EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE")


def create_change_set(
    client: Any, request: StackRequest, *, body: dict[str, str], creates: bool, generation: str
) -> StackPlan:
    """Have CloudFormation work out what would change; a second call finds the first one's.

    Args:
        client: of CloudFormation.
        request: what the stack is to be.
        body: TemplateBody or TemplateURL.
        creates: whether the stack is new.
        generation: changes whenever the stack does, so that no outlived change set is found.

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
    """Delete a change set that will not be executed, and the empty stack made for it."""
    if plan.change_set_id:
        client.delete_change_set(ChangeSetName=plan.change_set_id, StackName=plan.stack_id)
    if plan.creates and status_of(client, plan.stack_id) == "REVIEW_IN_PROGRESS":
        client.delete_stack(StackName=plan.request.name)


def status_of(client: Any, name: str) -> str:
    """The stack's status; "" if there is none."""
    stack = describe(client, name)
    return stack["StackStatus"] if stack else ""


def describe(client: Any, name: str) -> dict[str, Any] | None:
    """The stack as DescribeStacks has it; ``None`` if there is none."""
    try:
        stack: dict[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
    except client.exceptions.ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return stack


def generation_of(stack: dict[str, Any] | None) -> str:
    """Another text whenever the stack has changed."""
    if stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        return "new"
    return f"{stack['StackId']} {stack.get('LastUpdatedTime') or stack['CreationTime']}"


def template_argument(request: StackRequest, s3: Any, bucket: str, prefix: str) -> dict[str, str]:
    """The template as a request takes it: inline, or by the URL of an object put there.

    Args:
        s3: gives the client of S3; called only for a template too long for a request.
        bucket: "" if there is none.
        prefix: of the object's key.

    Raises:
        StackError: it is too long, or there is no bucket for it.
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
    """Values as given; those of an existing stack that are not given stay as they are."""
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
    """Wait until the change set is worked out, and read all of it.

    Raises:
        StackError: CloudFormation refuses it.
    """
    found = client.describe_change_set(**where)
    while found["Status"] in {"CREATE_PENDING", "CREATE_IN_PROGRESS"}:
        time.sleep(1)
        found = client.describe_change_set(**where)
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
    """The error in words with a remedy, where it is one of the template or the stack."""
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
