"""The CloudFormation stack of one stage's endpoint: its parameters and its deployment."""

import re
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
from resources.stacks.errors import StackBusy, StackError, StackTimeout
from resources.stacks.events import OnEvent, has_ended
from resources.stacks.plan import StackRequest, StackResult
from resources.stacks.stacks import Stacks
from serving.deployments import DeploymentRecord, Stage, endpoint_name

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
        stages_dir: folder of the stages' files; "" for those that come with imgclf.
        parameters: take precedence over those of the stage's file.
        tags: take precedence over those of the stage's file.
        role_arn: CloudFormation's own role; "" to use the caller's permissions.
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

    def request(self, record: DeploymentRecord, renewal: str = "") -> StackRequest:
        """Build the request for the stack that serves a recorded model under the current settings.

        Args:
            record: to deploy.
            renewal: a new value makes model and configuration again; "" keeps the last value.

        Raises:
            StackError: the stage's file is missing or wrong.
        """
        from cloudformation import template

        settings, tags = self._settings()
        return self.stacks.request(
            self.name,
            template("endpoint.yaml"),
            {
                **settings,
                "Stage": self.stage,
                "ModelVersion": record.model_version,
                "ModelDigest": record.digest,
                "ModelDataUrl": self.uri_of(record.model_key),
                "DeployedBy": _taggable(record.deployed_by),
                **({"Renewal": renewal} if renewal else {}),
            },
            tags,
            role_arn=self.role_arn,
        )

    def rehearse(self, record: DeploymentRecord, timeout_s: float) -> None:
        """Create the change set without executing it; :meth:`deploy` reuses it.

        Args:
            record: to deploy.
            timeout_s: seconds to wait at most.

        Raises:
            StackError: CloudFormation refuses the change, or the stage's file is wrong.
            HostUnavailable: CloudFormation does not answer, or another operation is in progress.
        """
        self.check_conversion()
        with self._translated_errors():
            self.stacks.plan(self.request(record), timeout_s=timeout_s)

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
        self, record: DeploymentRecord, on_event: OnEvent, timeout_s: float, renewal: str = ""
    ) -> StackResult:
        """Create or update the stack for a deployment record and wait until that has ended.

        Args:
            record: to deploy.
            on_event: called with a line of text for each event of the stack.
            timeout_s: seconds to wait at most.
            renewal: a new value makes model and configuration again; "" keeps the last value.

        Raises:
            StackError: the change was refused or failed; no operation is in progress.
            HostUnavailable: CloudFormation stopped answering, or the operation has not ended in
                time; it continues, and the same call attaches to it.
        """
        wanted = self.request(record, renewal)
        self.check_conversion()
        with self._translated_errors():
            return self.stacks.deploy(
                wanted.name,
                wanted.template,
                wanted.parameters,
                wanted.tags,
                role_arn=wanted.role_arn,
                on_event=on_event,
                timeout_s=timeout_s,
            )

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
