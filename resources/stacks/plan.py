"""Types of CloudFormation deployments: the request, the planned changes and the result."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class Clients(Protocol):
    """A source of boto3 clients: ``AwsSession``, ``boto3.Session``."""

    def client(self, service: str) -> Any:
        """Return the client of an AWS service."""
        ...


@dataclass(frozen=True, kw_only=True)
class StackRequest:
    """The wanted state of a stack.

    Attributes:
        name: of the stack.
        template: the template's text, YAML or JSON.
        parameters: values by name; those not named keep their values or take the defaults.
        tags: of the stack.
        capabilities: that the template needs, such as ``CAPABILITY_NAMED_IAM``.
        role_arn: CloudFormation's own role; "" to use the caller's permissions.
    """

    name: str
    template: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    capabilities: Sequence[str] = ()
    role_arn: str = ""

    @property
    def token(self) -> str:
        """The same for the same wish, so that a repeated call finds the operation it began."""
        content = [self.template, sorted(self.parameters.items()), sorted(self.tags.items())]
        digest = hashlib.sha256(json.dumps([*content, self.role_arn]).encode()).hexdigest()
        return f"imgclf-{digest[:20]}"


@dataclass(frozen=True, kw_only=True)
class StackChange:
    """One resource that a change set touches.

    Attributes:
        action: Add, Modify, Remove, Import or Dynamic.
        logical_id: the resource's name in the template.
        resource_type: such as ``AWS::SageMaker::Endpoint``.
        replacement: True, False or Conditional: whether the resource is replaced by a new one.
        because: names of the properties that change, as far as CloudFormation reports them.
    """

    action: str
    logical_id: str
    resource_type: str
    replacement: str
    because: tuple[str, ...] = ()

    def __str__(self) -> str:
        replaced = {"True": ", replaced", "Conditional": ", perhaps replaced"}
        because = f" ({', '.join(self.because)})" if self.because else ""
        return (
            f"{self.action} {self.resource_type} {self.logical_id}"
            f"{replaced.get(self.replacement, '')}{because}"
        )


@dataclass(frozen=True, kw_only=True)
class StackPlan:
    """A change set that is ready to be executed.

    Attributes:
        request: the stack's wanted state.
        stack_id: the stack's ARN.
        change_set_id: the change set's ARN; "" if nothing would change.
        creates: whether the stack does not exist yet.
        changes: of resources; empty if only tags or outputs change.
    """

    request: StackRequest
    stack_id: str
    change_set_id: str
    creates: bool
    changes: tuple[StackChange, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the stack is already as it should be."""
        return not self.change_set_id


@dataclass(frozen=True, kw_only=True)
class StackResult:
    """A stack in its wanted state.

    Attributes:
        name: of the stack.
        stack_id: the stack's ARN.
        status: of the stack.
        changed: whether an operation ran.
        changes: of resources; empty also if the call only waited for a running operation.
        outputs: the stack's outputs by name.
    """

    name: str
    stack_id: str
    status: str
    changed: bool
    changes: tuple[StackChange, ...]
    outputs: dict[str, str]
