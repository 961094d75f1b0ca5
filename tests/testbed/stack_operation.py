"""A stack's operation while it runs: what it has done so far, and the events it tells."""

import asyncio
import copy
import time
from dataclasses import dataclass, field
from typing import Any

from tests.testbed.stack_resources import TYPES

STACK = "AWS::CloudFormation::Stack"


@dataclass
class Operation:
    """One creation, update or deletion of a stack, while it runs."""

    stack: dict[str, Any]
    template: dict[str, Any]
    params: dict[str, Any]
    before: dict[str, Any] | None
    resources: dict[str, Any] = field(default_factory=dict)
    done: list[tuple[str, str, dict[str, Any] | None]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The conditions hold for the whole operation; ``resources`` grow with it."""
        from ministack.services.cloudformation.engine import _evaluate_conditions

        self.conditions = _evaluate_conditions(self.template, self.params)
        if self.before:
            self.resources = self.before["_resources"].copy()

    @property
    def verb(self) -> str:
        """CREATE or UPDATE."""
        return "UPDATE" if self.before is not None else "CREATE"

    def resolve(self, value: Any) -> Any:
        """A part of the template without intrinsic functions."""
        from ministack.services.cloudformation.engine import _resolve_refs

        name, stack_id = self.stack["StackName"], self.stack["StackId"]
        mappings = self.template.get("Mappings", {})
        return _resolve_refs(
            copy.deepcopy(value),
            self.resources,
            self.params,
            self.conditions,
            mappings,
            name,
            stack_id,
        )

    def event(self, logical_id: str, status: str, reason: str = "", kind: str = "") -> None:
        """Add an event, each a millisecond after the last at least."""
        from ministack.services.cloudformation import _stack_events
        from ministack.services.cloudformation.stacks import _add_event

        while (events := _stack_events.get(self.stack["StackId"])) and _now() <= events[-1][
            "Timestamp"
        ]:
            time.sleep(0.0005)
        resource = self.resources.get(logical_id, {})
        if kind == STACK:
            resource = {"PhysicalResourceId": self.stack["StackId"]}
        _add_event(
            self.stack["StackId"],
            self.stack["StackName"],
            logical_id,
            kind or resource.get("ResourceType") or self._type(logical_id),
            status,
            reason,
            resource.get("PhysicalResourceId", ""),
        )

    def turn(self, status: str, reason: str = "") -> None:
        """The whole stack is in another state from now on."""
        self.stack["StackStatus"], self.stack["StackStatusReason"] = status, reason
        self.event(self.stack["StackName"], status, reason, STACK)

    def policy(self, logical_id: str, key: str) -> str:
        """DeletionPolicy or UpdateReplacePolicy of a resource, as its template says."""
        for template in (self.template, (self.before or {}).get("_template", {})):
            resource = template.get("Resources", {}).get(logical_id)
            if resource is not None:
                return str(self.resolve(resource.get(key, "Delete")))
        return "Delete"

    def _type(self, logical_id: str) -> str:
        for template in (self.template, (self.before or {}).get("_template", {})):
            if logical_id in template.get("Resources", {}):
                return str(template["Resources"][logical_id]["Type"])
        return ""

    def reason(self) -> str:
        """What failed, in CloudFormation's words."""
        parts = []
        for verb, word in (("CREATE", "create"), ("UPDATE", "update"), ("DELETE", "delete")):
            names = [logical_id for logical_id, failed in self.failed if failed == verb]
            if names:
                parts.append(f"The following resource(s) failed to {word}: [{', '.join(names)}]. ")
        return "".join(parts)


def entry(
    logical_id: str, kind: str, physical_id: str, props: dict[str, Any], attributes: Any
) -> dict[str, Any]:
    """What is kept of a resource."""
    return {
        "PhysicalResourceId": physical_id,
        "ResourceType": kind,
        "ResourceStatus": "CREATE_IN_PROGRESS",
        "LogicalResourceId": logical_id,
        "Properties": props,
        "Attributes": attributes or {},
        "Timestamp": _now(),
    }


async def call(function: Any, kind: str, *arguments: Any) -> Any:
    """Our types wait for SageMaker, custom resources for Lambda: beside the event loop."""
    if kind in TYPES or kind.startswith("Custom::") or kind.endswith("::CustomResource"):
        return await asyncio.to_thread(function, kind, *arguments)
    return function(kind, *arguments)


def _now() -> str:
    from ministack.core.responses import now_iso

    text: str = now_iso()
    return text
