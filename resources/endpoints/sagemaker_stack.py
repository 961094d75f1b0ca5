"""The CloudFormation stack of one stage's endpoint: its parameters and its deployment."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from resources.aws.errors import error_message, is_permanent
from resources.endpoints.endpoint_host import HostUnavailable
from resources.endpoints.sagemaker_state import find_endpoint
from resources.endpoints.stage_files import StageFileError, stage_settings
from resources.stacks.change_sets import describe
from resources.stacks.errors import PlanOutdated, StackBusy, StackError, StackTimeout
from resources.stacks.events import OnEvent, has_ended
from resources.stacks.plan import StackPlan, StackRequest, StackResult
from resources.stacks.stacks import Stacks
from serving.deployments import Deployment, Stage, endpoint_name

CONFIG = "EndpointConfigName"
"""The stack's output that names the endpoint's configuration."""

DEPLOY_TIMEOUT_S = 18_000.0
"""Seconds that a deployment may take: MaximumExecutionTimeoutInSeconds of ``endpoint.yaml`` (four
hours), after which SageMaker itself rolls back, and an hour for that, the alarms and the scaling."""

_BEGINNINGS = {"CreateChangeSet", "ExecuteChangeSet"}
"""Calls that begin an operation: if one fails, no operation is in progress."""


@dataclass(frozen=True, kw_only=True)
class EndpointStack:
    """The stack of one stage.

    Attributes:
        stage: served by the endpoint.
        name: of the stack.
        stacks: the account's.
        stages_dir, tags: as of ``SageMakerEndpoints``.
        parameters: of every stage, with those that the project and its endpoints give.
        role_arn: ``cloudformation_role_arn`` of ``SageMakerEndpoints``.
        uri_of: returns the address of a key in the store.
    """

    stage: Stage
    name: str
    stacks: Stacks
    stages_dir: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    role_arn: str
    uri_of: Callable[[str], str]

    def request(self, deployment: Deployment, renewal: str = "") -> StackRequest:
        """Build the request for the stack that serves a model under the current settings.

        Args:
            deployment: names the model.
            renewal: a new value makes model and configuration again; "" keeps the last value.

        Raises:
            StackError: the stage's file is missing or wrong.
        """
        from cloudformation import template

        settings, tags = self._settings()
        return StackRequest(
            name=self.name,
            template=template("endpoint.yaml"),
            parameters={
                **settings,
                "Stage": self.stage,
                "ModelVersion": deployment.model_version,
                "ModelDigest": deployment.digest,
                "ModelDataUrl": self.uri_of(deployment.model_key),
                "DeployedBy": _taggable(deployment.deployed_by),
                **({"Renewal": renewal} if renewal else {}),
            },
            tags=tags,
            role_arn=self.role_arn,
        )

    def plan(self, deployment: Deployment, on_event: OnEvent, timeout_s: float) -> StackPlan:
        """Create the change set for a deployment, to be executed with :meth:`execute`.

        Args:
            deployment: that is wanted.
            on_event: called with a line of text for each planned change.
            timeout_s: seconds to wait at most.

        Raises:
            StackError: CloudFormation refuses the change, or the stage's file is wrong.
            HostUnavailable: CloudFormation does not answer, or another operation is in progress.
        """
        self.check_conversion()
        with self._translated_errors():
            request = self.request(deployment)
            return self.stacks.plan(request, on_event=on_event, timeout_s=timeout_s)

    def execute(self, plan: StackPlan, on_event: OnEvent, timeout_s: float) -> StackResult:
        """Execute a plan and wait until the operation has ended.

        If the stack was changed since the plan was made, a new plan is made.

        Args:
            plan: of :meth:`plan`.
            on_event: called with a line of text for each event of the stack.
            timeout_s: seconds to wait at most.

        Raises:
            StackError, HostUnavailable: see :meth:`deploy`.
        """
        deadline = time.monotonic() + timeout_s
        with self._translated_errors():
            try:
                return self.stacks.execute(plan, on_event=on_event, timeout_s=timeout_s)
            except PlanOutdated as error:
                on_event(str(error))
                left_s = deadline - time.monotonic()
                return self.stacks.deploy(plan.request, on_event=on_event, timeout_s=left_s)

    def check_conversion(self) -> None:
        """Refuse settings that would convert an endpoint with instances to a serverless one.

        SageMaker does not support this conversion: the update and all later ones would fail
        (https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html).

        Raises:
            StackError: the settings would convert it, or the stage's file is wrong.
            HostUnavailable: SageMaker does not answer.
        """
        settings, _ = self._settings()
        if settings.get("ServerlessMemoryMB", "0") == "0":
            return
        name = endpoint_name(self.parameters["Project"], self.stage)
        with self._translated_errors():
            endpoint = find_endpoint(self.stacks.session.client("sagemaker"), name) or {}
        variants = endpoint.get("ProductionVariants", [])
        if any("CurrentServerlessConfig" not in variant for variant in variants):
            raise StackError(
                f"endpoint {name} has instances, and SageMaker does not convert such a one to "
                f"serverless (ServerlessMemoryMB is {settings['ServerlessMemoryMB']}). Set it to 0; "
                f"or delete the stack (aws cloudformation delete-stack --stack-name {self.name}), "
                "which takes the endpoint out of service, and deploy again"
            )

    def deploy(
        self, deployment: Deployment, on_event: OnEvent, timeout_s: float, renewal: str = ""
    ) -> StackResult:
        """Take up a deployment again: create or update its stack and wait until that has ended.

        Args:
            deployment: that is wanted; its operation may be in progress.
            on_event: called with a line of text for each event of the stack.
            timeout_s: seconds to wait at most.
            renewal: a new value makes model and configuration again; "" keeps the last value.

        Raises:
            StackError: the change was refused or failed; no operation is in progress.
            HostUnavailable: CloudFormation stopped answering, or the operation has not ended in
                time; it continues, and the same call attaches to it.
        """
        wanted = self.request(deployment, renewal)
        self.check_conversion()
        with self._translated_errors():
            return self.stacks.deploy(wanted, on_event=on_event, timeout_s=timeout_s)

    def config(self) -> str:
        """Return the name of the endpoint configuration in the stack's outputs, with one call.

        "" while the stack is being changed, or if there is none.

        Raises:
            HostUnavailable: CloudFormation does not answer.
        """
        stack = self._described()
        if stack is None or not has_ended(stack["StackStatus"]):
            return ""
        return {
            item["OutputKey"]: str(item["OutputValue"]) for item in stack.get("Outputs", [])
        }.get(CONFIG, "")

    def differing(self) -> list[str]:
        """List the parameters whose values differ from the current settings, with one call.

        Raises:
            HostUnavailable: CloudFormation does not answer, or the stage's file is wrong.
        """
        stack = self._described()
        if stack is None:
            return []
        try:
            wanted, _ = self._settings()
        except StackError as error:
            raise HostUnavailable(str(error)) from error
        has = {item["ParameterKey"]: item["ParameterValue"] for item in stack.get("Parameters", [])}
        return sorted(name for name, value in wanted.items() if has.get(name) != value)

    def _settings(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the parameters that do not depend on the model, and the tags."""
        try:
            chosen = stage_settings(self.stage, self.stages_dir)
        except StageFileError as error:
            raise StackError(str(error)) from error
        return {**chosen.parameters, **self.parameters}, {**chosen.tags, **self.tags}

    def _described(self) -> dict[str, Any] | None:
        with self._translated_errors():
            return describe(self.stacks.client, self.name)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Convert errors: StackError if the change failed, HostUnavailable if it may continue."""
        try:
            yield
        except (StackBusy, StackTimeout) as error:
            raise HostUnavailable(str(error)) from error
        except (ClientError, BotoCoreError) as error:
            operation = getattr(error, "operation_name", "")
            text = error_message(error, f"{operation} stack {self.name}".strip())
            if operation in _BEGINNINGS and is_permanent(error):
                raise StackError(text) from error
            raise HostUnavailable(text) from error


def _taggable(name: str) -> str:
    """Replace characters that a tag must not have; the record has the full name.

    https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
    """
    return re.sub(r"[^\w .:/=+@-]", "_", name)[:256] or "unknown"
