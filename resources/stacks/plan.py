"""What a CloudFormation stack is to be, what would change, and what came of it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Clients(Protocol):
    """Where clients come from: ``AwsSession``, ``boto3.Session``."""

    def client(self, service: str) -> Any:
        """The client of an AWS service."""
        ...


@dataclass(frozen=True, kw_only=True)
class StackRequest:
    """What a stack is to be.

    Attributes:
        template: the template's text.
        parameters: values; one that is not named keeps its value, or takes its default.
        role_arn: the role CloudFormation works under; "": the caller's own rights.
    """

    name: str
    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    capabilities: Sequence[str]
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
        replacement: True, False or Conditional: whether a new resource takes the place.
        because: the properties that change, as far as CloudFormation tells.
    """

    action: str
    logical_id: str
    resource_type: str
    replacement: str
    because: tuple[str, ...] = ()

    def __str__(self) -> str:
        anew = {"True": ", replaced", "Conditional": ", perhaps replaced"}
        because = f" ({', '.join(self.because)})" if self.because else ""
        return (
            f"{self.action} {self.resource_type} {self.logical_id}"
            f"{anew.get(self.replacement, '')}{because}"
        )


@dataclass(frozen=True, kw_only=True)
class StackPlan:
    """A change set that is ready to be executed.

    Attributes:
        change_set_id: its ARN; "" where nothing would change.
        creates: whether the stack does not exist yet.
        changes: what would be done; empty if only tags or outputs change.
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
    """A stack that is as it was asked to be.

    Attributes:
        changed: whether anything had to be done.
        changes: what was done; empty if nothing, or if a running operation was only waited for.
        outputs: the stack's outputs.
    """

    name: str
    stack_id: str
    status: str
    changed: bool
    changes: tuple[StackChange, ...]
    outputs: dict[str, str]
