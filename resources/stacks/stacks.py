"""CloudFormation stacks: deployed by change sets, watched until the end, with reasons of failures."""

import time
from dataclasses import dataclass, field
from typing import Any

from tenacity import Retrying, retry_if_exception_type, wait_fixed

from resources.stacks.change_sets import (
    create_change_set,
    describe,
    discard,
    generation_of,
    status_of,
    template_argument,
)
from resources.stacks.errors import PlanOutdated, StackBusy, StackError, StackFailed, remedies
from resources.stacks.events import OnEvent, StackEvents, has_ended, watch
from resources.stacks.plan import Clients, StackChange, StackPlan, StackRequest, StackResult

IAM_CAPABILITY = "CAPABILITY_NAMED_IAM"
"""Needed for templates that create IAM roles with custom names."""


@dataclass(kw_only=True)
class Stacks:
    """The stacks of one account and region.

    Attributes:
        session: gives boto3's clients.
        bucket: for templates that are too long for a request; "" if there is none yet.
        prefix: of keys in the bucket.
        poll_s: seconds between two polls of a running operation; each is one call.
    """

    session: Clients
    bucket: str = ""
    prefix: str = ""
    poll_s: float = 5.0
    _client: Any = field(default=None, repr=False)

    @property
    def client(self) -> Any:
        """The client of CloudFormation."""
        self._client = self._client or self.session.client("cloudformation")
        return self._client

    def deploy(
        self,
        request: StackRequest,
        *,
        on_event: OnEvent = lambda _: None,
        timeout_s: float = 7200,
    ) -> StackResult:
        """Create or update a stack and wait until the operation has ended.

        A repeated call attaches to the operation that the first one started.

        Args:
            request: the stack's wanted state.
            on_event: called with a line of text for each planned change and each event.
            timeout_s: seconds to wait at most, an operation already running included.

        Raises:
            StackFailed: the operation failed or was rolled back.
            StackTimeout: it has not ended in time, and continues.
            StackError: the template, a parameter, or the stack's state does not allow it.
        """
        deadline = time.monotonic() + timeout_s
        if attached := self._attach(request, on_event, deadline):
            return attached
        plan = self._plan(request, on_event, deadline)
        return self.execute(plan, on_event=on_event, timeout_s=deadline - time.monotonic())

    def plan(
        self,
        request: StackRequest,
        *,
        on_event: OnEvent = lambda _: None,
        only_look: bool = False,
        timeout_s: float = 7200,
    ) -> StackPlan:
        """Create a change set, to be executed with :meth:`execute` or deleted with :meth:`discard`.

        Waits for an operation that is running. A stack whose creation failed is deleted first, since
        CloudFormation allows nothing else with it.

        Args:
            request: the stack's wanted state.
            on_event: called with a line of text for each planned change.
            only_look: raise StackError instead of deleting a stack whose creation failed.
            timeout_s: seconds to wait at most for a running operation.

        Raises:
            StackError: see :meth:`deploy`.
        """
        if only_look and self.status(request.name) == "ROLLBACK_COMPLETE":
            raise StackError(
                f"{request.name}: its creation failed; deploying deletes it, and starts again"
            )
        return self._plan(request, on_event, time.monotonic() + timeout_s)

    def execute(
        self,
        plan: StackPlan,
        *,
        on_event: OnEvent = lambda _: None,
        timeout_s: float = 7200,
    ) -> StackResult:
        """Execute a plan and wait until the operation has ended.

        Args:
            plan: of :meth:`plan`.
            on_event: called with a line of text for each event of the stack.
            timeout_s: seconds to wait at most.

        Raises:
            StackFailed: the operation failed or was rolled back.
            StackTimeout: it has not ended in time, and continues.
            PlanOutdated: the stack was changed since the plan was made.
        """
        if plan.is_empty:
            on_event(f"{plan.request.name}: nothing to change")
            return self._result(plan.request.name, changed=False)
        events = StackEvents(self.client, plan.stack_id)
        events.skip_past()
        deadline = time.monotonic() + timeout_s
        if self._start(plan):
            watch(plan.request.name, events, on_event, deadline=deadline, poll_s=self.poll_s)
        return self._result(plan.request.name, changed=True, changes=plan.changes)

    def discard(self, plan: StackPlan) -> None:
        """Delete a plan that will not be executed, and a stack that exists only for it."""
        discard(self.client, plan)

    def exists(self, name: str) -> bool:
        """Whether there is such a stack, in any state other than ``REVIEW_IN_PROGRESS``."""
        return self.status(name) not in {"", "REVIEW_IN_PROGRESS"}

    def status(self, name: str) -> str:
        """Return the stack's status, such as UPDATE_COMPLETE; "" if there is none."""
        return status_of(self.client, name)

    def outputs(self, name: str) -> dict[str, str]:
        """Return the stack's outputs by name.

        Raises:
            StackError: there is no such stack.
        """
        return self._result(name, changed=False).outputs

    def _attach(
        self, request: StackRequest, on_event: OnEvent, deadline: float
    ) -> StackResult | None:
        """Wait for a running operation if it is for the same request; ``None`` if it is not.

        Raises:
            StackFailed: the operation failed.
        """
        # Deploying after it would repeat what has just failed, perhaps half an hour of canary.
        stack = describe(self.client, request.name)
        if not stack or not self._runs(stack) or not self._is_ours(stack, request):
            return None
        on_event(f"{request.name}: {stack['StackStatus']} already; waiting for it")
        self._wait(stack, on_event, deadline)
        return self._result(request.name, changed=True)

    def _is_ours(self, stack: dict[str, Any], request: StackRequest) -> bool:
        pages = self.client.get_paginator("list_change_sets").paginate(StackName=request.name)
        running = {
            item["ChangeSetId"]
            for page in pages
            for item in page.get("Summaries", [])
            if item.get("ExecutionStatus") == "EXECUTE_IN_PROGRESS"
        }
        running.add(stack.get("ChangeSetId", ""))
        return any(f"/{request.token}-" in change_set_id for change_set_id in running)

    @staticmethod
    def _runs(stack: dict[str, Any]) -> bool:
        status = stack["StackStatus"]
        return not has_ended(status) and status != "REVIEW_IN_PROGRESS"

    def _wait(self, stack: dict[str, Any], on_event: OnEvent, deadline: float) -> None:
        events = StackEvents(self.client, stack["StackId"])
        events.skip_to_operation()
        watch(stack["StackName"], events, on_event, deadline=deadline, poll_s=self.poll_s)

    def _plan(self, request: StackRequest, on_event: OnEvent, deadline: float) -> StackPlan:
        body = template_argument(
            request, lambda: self.session.client("s3"), self.bucket, self.prefix
        )

        def planned() -> StackPlan:
            stack = self._settled(request, on_event, deadline)
            return create_change_set(
                self.client,
                request,
                body=body,
                creates=stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS",
                generation=generation_of(stack),
            )

        plan = Retrying(
            retry=retry_if_exception_type(StackBusy),
            stop=lambda _: time.monotonic() > deadline,
            wait=wait_fixed(self.poll_s),
            reraise=True,
        )(planned)
        for change in plan.changes:
            on_event(f"{request.name}: {change}")
        return plan

    def _settled(
        self, request: StackRequest, on_event: OnEvent, deadline: float
    ) -> dict[str, Any] | None:
        """Wait until no operation is in progress, and return the stack; ``None`` if there is none.

        A stack whose creation failed is deleted.

        Raises:
            StackFailed: the stack's status allows no update.
        """
        stack = describe(self.client, request.name)
        if stack and self._runs(stack):
            on_event(f"{request.name}: another operation runs; waiting for it")
            try:
                self._wait(stack, on_event, deadline)
            except StackFailed as error:
                on_event(f"{request.name}: the other operation failed: {error.reason}")
            stack = describe(self.client, request.name)
        if stack is None:
            return None
        status = stack["StackStatus"]
        if status in remedies(request.name):
            raise StackFailed(request.name, status, reason=stack.get("StackStatusReason", ""))
        if status == "ROLLBACK_COMPLETE":
            on_event(f"{request.name}: deleted, because its creation failed (ROLLBACK_COMPLETE)")
            self._delete(stack, request.role_arn, on_event, deadline)
            return None
        return stack

    def _delete(
        self, stack: dict[str, Any], role_arn: str, on_event: OnEvent, deadline: float
    ) -> None:
        events = StackEvents(self.client, stack["StackId"])
        events.skip_past()
        self.client.delete_stack(
            StackName=stack["StackName"], **({"RoleARN": role_arn} if role_arn else {})
        )
        watch(stack["StackName"], events, on_event, deadline=deadline, poll_s=self.poll_s)

    def _start(self, plan: StackPlan) -> bool:
        """Execute the change set, unless an earlier call did; returns whether to wait for it.

        Raises:
            PlanOutdated: the stack was changed since the plan was made.
        """
        # Without ClientRequestToken: a change set is executed only once in any case, and a token
        # that the same request used before (a retry after a rollback) is refused with
        # TokenAlreadyExists.
        where = {"ChangeSetName": plan.change_set_id, "StackName": plan.stack_id}
        try:
            self.client.execute_change_set(**where)
        except self.client.exceptions.InvalidChangeSetStatusException as error:
            status = self.client.describe_change_set(**where)["ExecutionStatus"]
            if status not in {"EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE"}:
                raise PlanOutdated(
                    f"{plan.request.name}: the plan is {status}: the stack has changed since; "
                    "deploy again"
                ) from error
            return status == "EXECUTE_IN_PROGRESS"
        except self.client.exceptions.ChangeSetNotFoundException as error:
            raise PlanOutdated(
                f"{plan.request.name}: the plan no longer exists: another deployment was faster; "
                "deploy again"
            ) from error
        return True

    def _result(
        self, name: str, *, changed: bool, changes: tuple[StackChange, ...] = ()
    ) -> StackResult:
        stack = describe(self.client, name)
        if stack is None:
            raise StackError(f"there is no stack {name} in this account and region; deploy it")
        return StackResult(
            name=name,
            stack_id=stack["StackId"],
            status=stack["StackStatus"],
            changed=changed,
            changes=changes,
            outputs={item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])},
        )
