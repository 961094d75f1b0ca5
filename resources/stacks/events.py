"""Events of a CloudFormation stack: reading them, waiting for the end, finding the first failure."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from resources.stacks.errors import StackFailed, StackTimeout

OnEvent = Callable[[str], object]
"""Called with a line of text for each event, such as ``context.log.info`` or ``print``."""

STACK = "AWS::CloudFormation::Stack"

_START_STATUSES = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
"""Statuses of the stack itself at the beginning of an operation."""

_CANCELLED_WORDS = ("cancelled", "canceled")
"""Reasons of resources that failed only because another one did: "Resource creation cancelled"."""


@dataclass(frozen=True, kw_only=True)
class StackEvent:
    """One event of a stack or of a resource in it.

    Attributes:
        event_id: CloudFormation's.
        at: time of the event, UTC.
        logical_id: the resource's name in the template; the stack's name for the stack.
        resource_type: such as ``AWS::SageMaker::Endpoint``.
        status: of the resource.
        reason: CloudFormation's text; "" if there is none.
        of_stack: whether the event is about the stack itself.
    """

    event_id: str
    at: datetime
    logical_id: str
    resource_type: str
    status: str
    reason: str
    of_stack: bool

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.at:%H:%M:%S} {self.status} {self.resource_type} {self.logical_id}{reason}"


@dataclass
class StackEvents:
    """Reads the events of one stack, each once.

    Attributes:
        client: boto3's for ``cloudformation``.
        stack_id: the stack's ARN, which is valid for a deleted stack, too.
    """

    client: Any
    stack_id: str
    _seen: set[str] = field(default_factory=set)

    def skip_past(self) -> None:
        """Skip all events until now, with one call."""
        self._seen.update(event.event_id for event in next(self._pages(), []))

    def skip_to_operation(self) -> None:
        """Skip the events before the operation that is running, or ran last."""
        for page in self._pages():
            begins = [
                event.at for event in page if event.of_stack and event.status in _START_STATUSES
            ]
            if begins:
                self._seen.update(event.event_id for event in page if event.at < max(begins))
                return

    def fresh(self) -> list[StackEvent]:
        """Return the events since the last call, oldest first; one call per page of new events."""
        found: list[StackEvent] = []
        for page in self._pages():
            unseen = [event for event in page if event.event_id not in self._seen]
            found.extend(unseen)
            if len(unseen) < len(page):
                break
        self._seen.update(event.event_id for event in found)
        found.reverse()
        return sorted(found, key=lambda event: event.at)

    def _pages(self) -> Iterator[list[StackEvent]]:
        paginator = self.client.get_paginator("describe_stack_events")
        for page in paginator.paginate(StackName=self.stack_id):
            yield [self._event(item) for item in page["StackEvents"]]

    def _event(self, item: dict[str, Any]) -> StackEvent:
        resource_type = item.get("ResourceType", "")
        return StackEvent(
            event_id=item["EventId"],
            at=item["Timestamp"],
            logical_id=item.get("LogicalResourceId", ""),
            resource_type=resource_type,
            status=item.get("ResourceStatus", ""),
            reason=item.get("ResourceStatusReason", ""),
            of_stack=resource_type == STACK and item.get("PhysicalResourceId") == self.stack_id,
        )


def watch(
    name: str, events: StackEvents, on_event: OnEvent, *, deadline: float, poll_s: float
) -> None:
    """Report events until the stack's operation has ended; each poll is one call.

    Args:
        name: of the stack.
        events: of the stack.
        on_event: called with a line of text for each event.
        deadline: in seconds of ``time.monotonic()``.
        poll_s: seconds between two polls.

    Raises:
        StackFailed: the operation failed or was rolled back.
        StackTimeout: it has not ended in time.
    """
    reported: list[StackEvent] = []
    while True:
        for event in events.fresh():
            on_event(f"{name}: {event}")
            reported.append(event)
        status = next((event.status for event in reversed(reported) if event.of_stack), "")
        if status and has_ended(status):
            break
        if time.monotonic() > deadline:
            raise StackTimeout(
                f"stack {name} is still {status or 'waiting'}; it continues: deploy again to wait "
                f"for it, or stop it: aws cloudformation cancel-update-stack --stack-name {name}"
            )
        time.sleep(poll_s)
    if has_failed(status):
        first = first_failure(reported)
        raise StackFailed(
            name, status, first.logical_id if first else "", first.reason if first else ""
        )


def has_ended(status: str) -> bool:
    """Whether a stack of this status has no operation in progress."""
    return not status.endswith("_IN_PROGRESS")


def has_failed(status: str) -> bool:
    """Whether an operation that ended in ``status`` failed or was rolled back."""
    return status.endswith("_FAILED") or "ROLLBACK" in status


def first_failure(events: list[StackEvent]) -> StackEvent | None:
    """Return the first failure of a resource; ``None`` if nothing failed.

    An operation that an alarm or a person stopped has no failed resource: then the stack's own
    event.
    """
    failed = [
        event
        for event in events
        if event.status.endswith("_FAILED")
        and not event.of_stack
        and not any(word in event.reason.lower() for word in _CANCELLED_WORDS)
    ]
    stopped = [event for event in events if event.of_stack and has_failed(event.status)]
    return next(iter(failed or stopped), None)
