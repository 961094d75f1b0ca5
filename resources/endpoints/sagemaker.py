"""Endpoints on SageMaker: a CloudFormation stack for each stage, one record for each deployment.

The record is written first, and names the wanted model and who deployed it; the served model is read
from SageMaker. If the two differ and no deployment is in progress, that is drift: a deployment was
killed, or somebody changed the endpoint by hand. Deploying the recorded model again repairs both,
without a second record.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import PrivateAttr

from resources.aws.errors import error_message
from resources.aws.session import AwsSession
from resources.endpoints.endpoint_host import DeploymentFailed, Endpoints, HostUnavailable
from resources.endpoints.sagemaker_answers import absent, console_links, described, invoked
from resources.endpoints.sagemaker_stack import CONFIG, DEPLOY_TIMEOUT_S, EndpointStack
from resources.endpoints.sagemaker_state import (
    UNKNOWN,
    Identity,
    apply_endpoint_config,
    find_endpoint,
    identity_of,
)
from resources.stacks.errors import StackError
from resources.stacks.events import OnEvent
from resources.stacks.plan import StackPlan, StackResult
from resources.stacks.stacks import Stacks
from resources.waiting import poll
from serving.deployments import (
    Deployment,
    DeploymentRecord,
    EndpointStatus,
    Stage,
    endpoint_name,
)


class SageMakerEndpoints(Endpoints):
    """SageMaker endpoints, deployed by CloudFormation's change sets.

    Attributes:
        session: the account and region.
        image_uri: the container that serves.
        execution_role_arn: the endpoints' role.
        cloudformation_role_arn: CloudFormation's own role; "" for the caller's rights.
        stages_dir: folder of ``staging.json`` and ``prod.json``; "" for those that come with imgclf.
        parameters: of every stage's stack, over those of the stage's file.
        tags: of the stacks and all in them.
        poll_s: seconds between two looks.
    """

    session: AwsSession
    image_uri: str
    execution_role_arn: str
    cloudformation_role_arn: str = ""
    stages_dir: str = ""
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}
    deploy_timeout_s: float = DEPLOY_TIMEOUT_S
    poll_s: float = 10.0

    _seen: dict[str, Identity] = PrivateAttr(default_factory=dict)

    def deploy(self, deployment: Deployment, on_event: OnEvent = lambda _: None) -> EndpointStatus:
        """Deploy through the stage's CloudFormation stack; see :meth:`Endpoints.deploy`.

        CloudFormation rolls back by itself when an alarm goes off or the model does not start.
        """
        stage, deadline = deployment.stage, time.monotonic() + self.deploy_timeout_s
        before = self.settled(stage, deadline)
        newest = self.readable(stage)
        if not before.digest:
            before = self._made_out(before, newest, deadline, on_event)
        plan = None
        if newest is not None and newest.digest == deployment.digest:
            if before.status == "InService":
                return before
            record = newest  # its deployment was killed, or the endpoint was changed by hand
        else:
            plan = self._planned(deployment, deadline, on_event)
            record = self._write(deployment)
        self._still_wanted(record)
        try:
            status = self._carry_out(record, plan, deadline, on_event)
        except StackError as error:
            raise DeploymentFailed(self._failed(record, before, str(error))) from error
        if status.status != "InService" or status.digest != record.digest:
            why = status.failure_reason or f"{status.name} is {status.status}"
            raise DeploymentFailed(self._failed(record, before, why))
        return status

    def check(self) -> None:
        """See :meth:`Endpoints.check`."""
        with self._translated(f"the endpoints of {self.project}"):
            self._sagemaker.list_endpoints(NameContains=self.project, MaxResults=1)

    def describe(self, stage: Stage) -> EndpointStatus:
        """See :meth:`Endpoints.describe`."""
        name = endpoint_name(self.project, stage)
        newest = self.readable(stage)
        with self._translated(f"endpoint {name}"):
            endpoint = find_endpoint(self._sagemaker, name)
            if endpoint is None:
                return absent(stage, name, newest)
            identity = self._identity(endpoint["EndpointConfigName"])
        return described(stage, endpoint, identity, newest, lambda: self.history(stage))

    def settled(self, stage: Stage, deadline: float) -> EndpointStatus:
        """See :meth:`Endpoints.settled`."""
        # No waiter of boto3: endpoint_in_service raises for an endpoint that serves its former model.
        status = poll(
            lambda: self.describe(stage),
            lambda seen: not seen.changing,
            deadline=deadline,
            poll_s=self.poll_s,
        )
        if status.changing:
            raise HostUnavailable(f"{status.name} is still {status.status}; wait for it to end")
        return status

    def runtime_url(self) -> str:
        """See :meth:`Endpoints.runtime_url`."""
        url: str = self.session.client("sagemaker-runtime").meta.endpoint_url
        return url

    def links(self, stage: Stage) -> dict[str, str]:
        """Return :meth:`Endpoints.links` and pages of the AWS console."""
        name, region = endpoint_name(self.project, stage), self._sagemaker.meta.region_name
        return {**super().links(stage), **console_links(name, self.stack(stage).name, region)}

    def invoke(
        self, stage: Stage, body: bytes, content_type: str, top_k: int | None = None
    ) -> dict[str, Any]:
        """Send one request to SageMaker's runtime; see :meth:`Endpoints.invoke`.

        Args:
            stage: whose endpoint.
            body: of the request, in the form of ``content_type``.
            content_type: MIME type of the body.
            top_k: number of labels in the answer; default: all.
        """
        client = self.session.client("sagemaker-runtime")
        return invoked(client, endpoint_name(self.project, stage), body, content_type, top_k)

    @contextmanager
    def hosting(self, *, log_file: Path, start_timeout_s: float = 60.0) -> Iterator[str]:
        """See :meth:`Endpoints.hosting`; on SageMaker there is nothing to start."""
        self.check()
        yield self.runtime_url()

    def differing_settings(self, stage: Stage) -> list[str]:
        """List parameters of the stage's stack; see :meth:`Endpoints.differing_settings`."""
        return self.stack(stage).differing()

    def stack(self, stage: Stage) -> EndpointStack:
        """Return the stage's stack under the current settings."""
        return EndpointStack(
            stage=stage,
            name=f"{self.project}-endpoint-{stage}",
            stacks=Stacks(session=self.session, poll_s=min(5.0, self.poll_s)),
            stages_dir=self.stages_dir,
            parameters={
                **self.parameters,
                "Project": self.project,
                "ImageUri": self.image_uri,
                "ExecutionRoleArn": self.execution_role_arn,
                "CaptureUri": self.objects.uri(f"captures/{stage}"),
            },
            tags=self.tags,
            role_arn=self.cloudformation_role_arn,
            uri_of=self.objects.uri,
        )

    def ensure_configuration(
        self, stage: Stage, result: StackResult, on_event: OnEvent
    ) -> EndpointStatus:
        """Make sure that the endpoint has the configuration that its stack gave it.

        Args:
            stage: whose endpoint.
            result: of the stack's update; its outputs name the configuration.
            on_event: called with a line of text for each event.

        Returns:
            The endpoint's status.

        Raises:
            DeploymentFailed: SageMaker returned to the configuration before.
            HostUnavailable: SageMaker does not answer, or the update has not ended in time.
        """
        deadline = time.monotonic() + self.deploy_timeout_s
        config, name = result.outputs[CONFIG], endpoint_name(self.project, stage)
        status = self.settled(stage, deadline)
        if not result.changed and self._config_of(name) != config:
            status = self._put_back(stage, config, deadline, on_event, guarded=True)
        if status.status != "InService" or self._config_of(name) != config:
            raise DeploymentFailed(
                f"{name} is {status.status}, and not on {config} as its stack says: "
                f"{status.failure_reason or 'SageMaker went back to what it had'}; look at its "
                "alarms and logs, then deploy again"
            )
        return status

    def _made_out(
        self,
        before: EndpointStatus,
        newest: DeploymentRecord | None,
        deadline: float,
        on_event: OnEvent,
    ) -> EndpointStatus:
        """Return the status of an endpoint that is missing, or whose served model is unknown.

        A missing endpoint is created again if its stack still has a configuration. A served model
        that was deleted is assumed to be the recorded one.
        """
        if self._config_of(before.name):  # its model was deleted: assume the recorded one
            served = newest.digest if newest else None
            return before.model_copy(update={"digest": served})
        config = self.stack(before.stage).config()
        if not config:
            return before
        # It was deleted, for example to save money. CloudFormation would try to update it, and fail.
        return self._put_back(before.stage, config, deadline, on_event, guarded=False)

    def _planned(self, deployment: Deployment, deadline: float, on_event: OnEvent) -> StackPlan:
        """Have CloudFormation check and plan the change, before the record is written.

        Args:
            deployment: that is wanted.
            deadline: in seconds of ``time.monotonic()``.
            on_event: called with a line of text for each planned change.

        Raises:
            DeploymentFailed: CloudFormation refuses the change; nothing was changed or recorded.
        """
        try:
            stack = self.stack(deployment.stage)
            return stack.plan(deployment, on_event, deadline - time.monotonic())
        except StackError as error:
            raise DeploymentFailed(
                f"{deployment.model_version} cannot be deployed to {deployment.stage}, and nothing "
                f"was changed: {error}"
            ) from error

    def _carry_out(
        self,
        record: DeploymentRecord,
        plan: StackPlan | None,
        deadline: float,
        on_event: OnEvent,
    ) -> EndpointStatus:
        """Deploy the stack and undo changes of the endpoint that CloudFormation does not see.

        Such changes are made by hand, or by SageMaker, which may roll back without an error.

        Args:
            record: to deploy.
            plan: of the stack's changes; ``None`` for a record whose deployment is taken up again.
            deadline: in seconds of ``time.monotonic()``.
            on_event: called with a line of text for each event.

        Raises:
            StackError: the stack was not deployed; no operation is in progress.
        """
        stage, stack, wanted = record.stage, self.stack(record.stage), record.deployment
        if plan is not None:
            result = stack.execute(plan, on_event, deadline - time.monotonic())
        else:
            result = stack.deploy(wanted, on_event, deadline - time.monotonic())
        status = self.settled(stage, deadline)
        if result.changed or (status.status == "InService" and status.digest == record.digest):
            return status
        config = result.outputs.get(CONFIG, "")
        with self._translated(f"endpoint configuration {config}"):
            gone = identity_of(self._sagemaker, config) == UNKNOWN
        if gone:
            on_event(
                f"endpoint configuration {config} or its model was deleted: both are recreated"
            )
            stack.deploy(wanted, on_event, deadline - time.monotonic(), renewal=config)
            return self.settled(stage, deadline)
        # Without a plan it is a repair, which needs no canary.
        return self._put_back(stage, config, deadline, on_event, guarded=plan is not None)

    def _put_back(
        self,
        stage: Stage,
        config: str,
        deadline: float,
        on_event: OnEvent,
        *,
        guarded: bool,
    ) -> EndpointStatus:
        """Return the endpoint to its stack's configuration.

        Args:
            stage: whose endpoint.
            config: name of the endpoint configuration.
            deadline: in seconds of ``time.monotonic()``.
            on_event: called with a line of text for each event.
            guarded: whether to use the canary and alarms of the last deployment.
        """
        name = endpoint_name(self.project, stage)
        on_event(f"endpoint {name} was changed outside its stack: returning to {config}")
        with self._translated(f"endpoint {name}"):
            apply_endpoint_config(self._sagemaker, name, config, tags=self.tags, guarded=guarded)
        return self.settled(stage, deadline)

    def _failed(self, record: DeploymentRecord, before: EndpointStatus, why: str) -> str:
        """Describe a failed deployment; rolls the records back to the served model."""
        self._still_wanted(record)
        if before.digest == record.digest:  # it is deployed, but does not answer
            return f"{record.model_version} does not serve {record.stage}: {why}"
        return self._roll_back(record, before, why)

    def _config_of(self, name: str) -> str:
        """Return the name of the endpoint's configuration; "" if there is no endpoint."""
        with self._translated(f"endpoint {name}"):
            found = find_endpoint(self._sagemaker, name)
        return str(found["EndpointConfigName"]) if found else ""

    def _identity(self, config: str) -> Identity:
        """Return the model that a configuration serves; cached, since it never changes."""
        if self._seen.get(config, UNKNOWN) == UNKNOWN:
            self._seen[config] = identity_of(self._sagemaker, config)
        return self._seen[config]

    @property
    def _sagemaker(self) -> Any:
        return self.session.client("sagemaker")

    @contextmanager
    def _translated(self, item: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise HostUnavailable(error_message(error, item)) from error
