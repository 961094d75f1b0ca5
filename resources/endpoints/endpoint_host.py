"""Port: endpoints that serve models. Each deployment is a record in the store, in both profiles.

Locally one ``serving`` process follows the records (``local.py``); on AWS each stage is a
CloudFormation stack with a SageMaker endpoint (``sagemaker.py``). If a record's model cannot be
served, a new record returns to the model that was served before.
"""

import time
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from errors.base import ImgclfError
from object_store.contents.damage import DamagedObject, flaw_of
from object_store.contents.numbered import newest_key, next_number
from object_store.errors import ObjectRefused
from object_store.store import ObjectStore
from serving.deployments import (
    Deployment,
    DeploymentRecord,
    EndpointStatus,
    RecordError,
    Stage,
    endpoint_name,
    parse_record,
    record_key,
    records_prefix,
    version_in,
)


class HostUnavailable(ImgclfError, RuntimeError):
    """No endpoint host answers, or it serves another store; the message says what to do."""


class DeploymentFailed(ImgclfError, RuntimeError):
    """The model could not be deployed; the stage serves the model that it served before."""


class Endpoints(dg.ConfigurableResource):
    """What every host of endpoints can do.

    Attributes:
        store: holds records and models.
        project: endpoints are named ``<project>-<stage>``.
        deploy_timeout_s: how long a deployment may take, a canary included (seconds).
    """

    store: dg.ResourceDependency[ObjectStore]
    project: str
    deploy_timeout_s: float

    @property
    def objects(self) -> ObjectStore:
        """``store`` once Dagster has bound it; its declared type also says *before*."""
        return self.store

    @abstractmethod
    def deploy(
        self, deployment: Deployment, on_event: Callable[[str], object] = lambda _: None
    ) -> EndpointStatus:
        """Deploy a model to a stage; returns when the model answers requests.

        A repeated call (after a crash, for example) writes no second record while the first one
        is served or in progress.

        Args:
            deployment: the model, its stage, and what the record says about them.
            on_event: called with a line of text for each event; a local host reports none.

        Returns:
            The endpoint's status after the deployment.

        Raises:
            HostUnavailable: no host is up, and nothing was written; or the deployment has not
                ended in time and continues: repeating the call waits for it.
            DeploymentFailed: the model cannot be served (locally: or not in time), or a newer
                deployment replaced this one.
        """

    @abstractmethod
    def check(self) -> None:
        """Check that endpoints of this store and project can be deployed and invoked.

        Raises:
            HostUnavailable: they cannot.
        """

    @abstractmethod
    def describe(self, stage: Stage) -> EndpointStatus:
        """Return the current status of ``stage``. Raises HostUnavailable."""

    @abstractmethod
    def settled(self, stage: Stage, deadline: float) -> EndpointStatus:
        """Wait until no deployment is in progress and return the status.

        Args:
            stage: whose deployments.
            deadline: in seconds of ``time.monotonic()``.

        Raises:
            HostUnavailable: no host is up, or a deployment is in progress at the deadline.
        """

    @abstractmethod
    def runtime_url(self) -> str:
        """Return the base URL for ``boto3.client("sagemaker-runtime", endpoint_url=…)``."""

    def links(self, stage: Stage) -> dict[str, str]:
        """Return addresses of the endpoint of ``stage`` by title: its status and invocations."""
        url = f"{self.runtime_url()}/endpoints/{endpoint_name(self.project, stage)}"
        return {"url": url, "invocations": f"{url}/invocations"}

    @abstractmethod
    def invoke(
        self, stage: Stage, body: bytes, content_type: str, top_k: int | None = None
    ) -> dict[str, Any]:
        """Send one request and return the parsed JSON answer.

        Args:
            stage: whose endpoint.
            body: of the request, in the form of ``content_type``.
            content_type: MIME type of the body.
            top_k: number of labels in the answer; default: all.

        Raises:
            HostUnavailable: no host is up.
            InvocationFailed: the endpoint refused the request.
        """

    @abstractmethod
    def hosting(
        self, *, log_file: Path, start_timeout_s: float = 60.0
    ) -> AbstractContextManager[str]:
        """Have a host run for the length of a block; yields the runtime's URL.

        Args:
            log_file: for the output of a host that is started here.
            start_timeout_s: seconds that it may take to answer.

        Raises:
            HostNotStarted: the host does not start.
            HostUnavailable: there is no host, or the running one serves another store.
        """

    def differing_settings(self, stage: Stage) -> list[str]:
        """List the settings whose current values the endpoint of ``stage`` does not have.

        Empty if endpoints have no settings.

        Raises:
            HostUnavailable: the endpoint's settings cannot be read.
        """
        return []

    def history(self, stage: Stage) -> list[DeploymentRecord]:
        """Return the readable records of ``stage``, newest first. Needs no running host."""
        found = []
        for info in reversed(self.store.list(records_prefix(stage))):
            try:
                found.append(self._record(info.key))
            except DamagedObject:  # `imgclf doctor --store` names it
                continue
        return found

    def current(self, stage: Stage) -> DeploymentRecord | None:
        """Return the newest record of ``stage``. Needs no running host. Raises DamagedObject."""
        newest = self.newest_key(stage)
        return self._record(newest) if newest else None

    def _record(self, key: str) -> DeploymentRecord:
        """Read the record at ``key``. Raises KeyMissing, DamagedObject."""
        data = self.objects.get(key)
        try:
            return parse_record(data, key)
        except RecordError as error:
            flaw = flaw_of(data, str(error).removeprefix(key).strip())
            raise DamagedObject(key, flaw, self.objects.url) from None

    def newest_key(self, stage: Stage) -> str | None:
        """Return the key of the newest record of ``stage``, which may be damaged."""
        return newest_key(self.objects, records_prefix(stage))

    def readable(self, stage: Stage) -> DeploymentRecord | None:
        """Return the newest record of ``stage``; ``None`` if there is none or it cannot be read.

        For writers of the next record; :meth:`current` raises if the record is damaged.
        """
        try:
            return self.current(stage)
        except (DamagedObject, ObjectRefused):
            return None

    def _write(self, deployment: Deployment) -> DeploymentRecord:
        """Write a record that sorts after all others, also if the clock was set back."""
        now_ms = time.time_ns() // 1_000_000
        while True:
            newest = next_number(self.objects, records_prefix(deployment.stage))
            record = DeploymentRecord.of(deployment, max(now_ms, newest))
            if self.store.create(record_key(record), record.model_dump_json().encode()):
                return record

    def _still_wanted(self, record: DeploymentRecord) -> None:
        """Check that there is no newer deployment. Raises DeploymentFailed."""
        newest = self.newest_key(record.stage)
        if newest is not None and newest > record_key(record):
            other = self.readable(record.stage)
            by = f", deployed by {other.deployed_by}" if other else ""
            raise DeploymentFailed(
                f"{record.model_version} was superseded on {record.stage} by "
                f"{version_in(newest)}{by}"
            )

    def _roll_back(self, record: DeploymentRecord, before: EndpointStatus, why: str) -> str:
        """Write a record that returns to the model before, so that a restarted host serves it.

        Returns:
            What failed and what was done, in one line.
        """
        failed = f"{record.model_version} cannot be served on {record.stage}: {why}"
        former = next(
            (old for old in self.history(record.stage) if old.digest == before.digest), None
        )
        if former is None:
            return f"{failed}; nothing was served there before"
        self._write(
            replace(
                record.deployment,
                model_version=former.model_version,
                digest=former.digest,
                model_key=former.model_key,
                reason=f"rolled back: {failed}",
            )
        )
        return f"{failed}; {former.model_version} goes on serving"
