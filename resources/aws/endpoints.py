"""Endpoints on SageMaker: a CloudFormation stack for each stage, one record for each deployment.

The record is written first, so that everybody sees what is wanted and by whom; what is served is
asked of SageMaker itself. Where the two differ and nothing is under way, that is drift: a deployer
that was killed, or somebody who changed the endpoint by hand. Deploying the recorded model again
mends both, without a second record.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import PrivateAttr

from resources.aws.endpoint_answers import STATES, absent, console_links, refused
from resources.aws.errors import is_missing, told
from resources.aws.session import AwsSession
from resources.aws.stack_errors import StackError
from resources.aws.stack_plan import StackResult
from resources.aws.stacks import Stacks
from resources.aws.stage_files import stage_settings
from resources.endpoint_host import DeploymentFailed, EndpointHost, HostUnavailable
from serving.deployments import (
    DeploymentRecord,
    EndpointStatus,
    Stage,
    endpoint_name,
    record_key,
)

_POLL_S = 10.0


class SageMakerEndpointHost(EndpointHost):
    """SageMaker endpoints, deployed by CloudFormation's change sets.

    Attributes:
        session: the account and region.
        image_uri: the container that serves.
        execution_role_arn: the endpoints' role.
        cloudformation_role_arn: CloudFormation's own role; "" for the caller's rights.
        stages_dir: folder of ``staging.json`` and ``prod.json``; "" for those that come with imgclf.
        parameters: of every stage's stack, over those of the stage's file.
        tags: of the stacks and all in them.
        deploy_timeout_s: how long a deployment may take, its canary included (seconds).
        poll_s: seconds between two looks.
    """

    session: AwsSession
    image_uri: str
    execution_role_arn: str
    cloudformation_role_arn: str = ""
    stages_dir: str = ""
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}
    deploy_timeout_s: float = 7200.0
    poll_s: float = _POLL_S

    _seen: dict[str, tuple[str, str]] = PrivateAttr(default_factory=dict)

    def deploy(
        self,
        *,
        stage: Stage,
        model_version: str,
        digest: str,
        model_key: str,
        deployed_by: str,
        reason: str,
        run_id: str = "",
        on_event: Callable[[str], object] = lambda _: None,
    ) -> EndpointStatus:
        """See :meth:`EndpointHost.deploy`. CloudFormation itself returns to what was served before
        when an alarm goes off or the model does not start."""
        deadline = time.monotonic() + self.deploy_timeout_s
        before = self.settled(stage, deadline)
        newest = self.current(stage)
        if newest is not None and newest.digest == digest:
            if before.status == "InService":
                return before
            record = newest  # its deployer died, or somebody changed the endpoint by hand
        else:
            record = self._write(
                stage,
                model_version=model_version,
                digest=digest,
                model_key=model_key,
                deployed_by=deployed_by,
                reason=reason,
                run_id=run_id,
            )
        self._still_wanted(record)
        try:
            result = self._deploy_stack(record, deadline, on_event)
        except StackError as error:
            raise DeploymentFailed(self._failed(record, before, str(error))) from error
        status = self.settled(stage, deadline)
        if status.digest != digest and not result.changed:
            guarded = record is not newest  # what was recorded before has proved itself
            status = self._return_to_stack(record, result, deadline, on_event, guarded=guarded)
        if status.digest != digest:
            raise DeploymentFailed(self._failed(record, before, status.failure_reason or ""))
        return status

    def check(self) -> None:
        """See :meth:`EndpointHost.check`."""
        with self._translated(f"the endpoints of {self.project}"):
            self._sagemaker.list_endpoints(NameContains=self.project, MaxResults=1)

    def describe(self, stage: Stage) -> EndpointStatus:
        """See :meth:`EndpointHost.describe`."""
        name = endpoint_name(self.project, stage)
        newest = self.current(stage)
        key = record_key(newest) if newest else None
        with self._translated(f"endpoint {name}"):
            endpoint = self._endpoint(name)
            if endpoint is None:
                return absent(stage, name, newest)
            version, digest = self._identity(endpoint["EndpointConfigName"])
        state = STATES.get(endpoint["EndpointStatus"], "Failed")
        failure = endpoint.get("FailureReason") if state == "Failed" else None
        if state == "InService" and newest is not None and newest.digest != digest:
            state = "Failed"
            failure = (
                f"drift: {newest.model_version} ({newest.digest[:12]}) is recorded, "
                f"{version} ({digest[:12]}) is served"
            )
            if endpoint.get("FailureReason"):
                failure += f"; SageMaker says: {endpoint['FailureReason']}"
        served = newest if newest is not None and newest.digest == digest else None
        served = served or next((old for old in self.history(stage) if old.digest == digest), None)
        return EndpointStatus(
            stage=stage,
            name=name,
            status=state,
            model_version=version or None,
            digest=digest or None,
            since=served.created_at if served else endpoint["LastModifiedTime"],
            failure_reason=failure,
            record_key=key,
        )

    def settled(self, stage: Stage, deadline: float) -> EndpointStatus:
        """See :meth:`EndpointHost.settled`."""
        while True:
            status = self.describe(stage)
            if not status.changing:
                return status
            if time.monotonic() > deadline:
                raise HostUnavailable(f"{status.name} is still {status.status}; wait for it to end")
            time.sleep(self.poll_s)

    def runtime_url(self) -> str:
        """See :meth:`EndpointHost.runtime_url`."""
        url: str = self.session.client("sagemaker-runtime").meta.endpoint_url
        return url

    def links(self, stage: Stage) -> dict[str, str]:
        """See :meth:`EndpointHost.links`: the pages of the AWS console, too."""
        name, region = endpoint_name(self.project, stage), self._sagemaker.meta.region_name
        return {**super().links(stage), **console_links(name, self._stack_name(stage), region)}

    def invoke(
        self, stage: Stage, body: bytes, content_type: str, top_k: int | None = None
    ) -> dict[str, Any]:
        """See :meth:`EndpointHost.invoke`."""
        name = endpoint_name(self.project, stage)
        options = {"CustomAttributes": f"top_k={top_k}"} if top_k else {}
        try:
            answer = self.session.client("sagemaker-runtime").invoke_endpoint(
                EndpointName=name, Body=body, ContentType=content_type, **options
            )
        except ClientError as error:
            raise refused(error, name) from error
        except BotoCoreError as error:
            raise HostUnavailable(told(error, f"endpoint {name}")) from error
        parsed: dict[str, Any] = json.loads(answer["Body"].read())
        return parsed

    @contextmanager
    def hosting(self, *, log_file: Path, start_timeout_s: float = 60.0) -> Iterator[str]:
        """See :meth:`EndpointHost.hosting`: SageMaker hosts, there is nothing to start."""
        self.check()
        yield self.runtime_url()

    def _stack_name(self, stage: Stage) -> str:
        return f"{self.project}-endpoint-{stage}"

    @property
    def _sagemaker(self) -> Any:
        return self.session.client("sagemaker")

    def _deploy_stack(
        self, record: DeploymentRecord, deadline: float, on_event: Callable[[str], object]
    ) -> StackResult:
        from cloudformation import template

        chosen = stage_settings(record.stage, self.stages_dir)
        return Stacks(session=self.session, poll_s=min(5.0, self.poll_s)).deploy(
            self._stack_name(record.stage),
            template("endpoint.yaml"),
            {
                **chosen.parameters,
                **self.parameters,
                "Project": self.project,
                "Stage": record.stage,
                "ModelVersion": record.model_version,
                "ModelDigest": record.digest,
                "ModelDataUrl": self.objects.uri(record.model_key),
                "ImageUri": self.image_uri,
                "ExecutionRoleArn": self.execution_role_arn,
                "DeployedBy": _taggable(record.deployed_by),
                "CaptureUri": self.objects.uri(f"captures/{record.stage}"),
            },
            {**chosen.tags, **self.tags},
            role_arn=self.cloudformation_role_arn,
            on_event=on_event,
            timeout_s=deadline - time.monotonic(),
        )

    def _return_to_stack(
        self,
        record: DeploymentRecord,
        stack: StackResult,
        deadline: float,
        on_event: Callable[[str], object],
        *,
        guarded: bool,
    ) -> EndpointStatus:
        """Undo what was done to the endpoint behind CloudFormation's back, which it does not see:
        by hand, or by SageMaker, which may roll back without a word.

        ``guarded``: by the canary and the alarms of the last deployment.
        """
        name = endpoint_name(self.project, record.stage)
        config = stack.outputs.get("EndpointConfigName", "")
        on_event(f"endpoint {name} was changed outside its stack: returning to {config}")
        with self._translated(f"endpoint {name}"):
            found = self._endpoint(name)
            if found is None:  # deleted, to save money, say
                self._sagemaker.create_endpoint(
                    EndpointName=name,
                    EndpointConfigName=config,
                    Tags=[{"Key": key, "Value": value} for key, value in self.tags.items()],
                )
            else:
                last = found.get("LastDeploymentConfig") if guarded else None
                how = {"DeploymentConfig": last} if last else {}
                self._sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config, **how)
        return self.settled(record.stage, deadline)

    def _failed(self, record: DeploymentRecord, before: EndpointStatus, why: str) -> str:
        """What became of a deployment that is not served; the records return to what is."""
        self._still_wanted(record)
        return self._roll_back(record, before, why)

    def _endpoint(self, name: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = self._sagemaker.describe_endpoint(EndpointName=name)
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return found

    def _identity(self, config_name: str) -> tuple[str, str]:
        """Model version and digest behind an endpoint's configuration, which never changes."""
        if config_name not in self._seen:
            config = self._sagemaker.describe_endpoint_config(EndpointConfigName=config_name)
            model = self._sagemaker.describe_model(
                ModelName=config["ProductionVariants"][0]["ModelName"]
            )
            environment = model["PrimaryContainer"].get("Environment", {})
            self._seen[config_name] = (
                environment.get("IMGCLF_MODEL_VERSION", ""),
                environment.get("IMGCLF_DIGEST", ""),
            )
        return self._seen[config_name]

    @contextmanager
    def _translated(self, item: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise HostUnavailable(told(error, item)) from error


def _taggable(name: str) -> str:
    """A name as a tag may have it (the whole one is in the record):
    https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html"""
    return re.sub(r"[^\w .:/=+@-]", "_", name)[:256] or "unknown"
