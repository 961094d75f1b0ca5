"""Port: where models answer requests. Each deployment is a record in the store, in both profiles.

Locally one ``serving`` process converges on the records (``local.py``); on AWS each
stage is a CloudFormation stack of a SageMaker endpoint (``sagemaker.py``). A record whose
model cannot be served is followed by one that returns to what was served before.
"""

import time
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import dagster as dg

from errors.base import ImgclfError
from resources.contents.damage import DamagedObject, flaw_of
from resources.contents.numbered import newest_key, next_number
from resources.store.errors import ObjectRefused
from resources.store.object_store import ObjectStore
from serving.deployments import (
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


class HostUnavailable(ImgclfError, RuntimeError):  # noqa: N818 - a state, as its callers say it
    """No endpoint host answers, or one that serves another store; the message says what to do."""


class DeploymentFailed(ImgclfError, RuntimeError):  # noqa: N818 - a state, as its callers say it
    """The host did not come to serve the model; the stage serves what it served before."""


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
        self,
        *,
        stage: Stage,
        model_version: str,
        digest: str,
        model_key: str,
        deployed_by: str,
        reason: str,
        run_id: str = "",
        decision: int = 0,
        on_event: Callable[[str], object] = lambda _: None,
    ) -> EndpointStatus:
        """Deploy a model to ``stage``; returns when the model answers requests.

        A repeated call (after a crash, for example) writes no second record while the first one
        is served or in progress.

        Args:
            stage: to deploy to.
            model_version: name of the model version.
            digest: of the model artefact: SHA-256, 64 hex digits.
            model_key: key of ``model.tar.gz`` in the store.
            deployed_by: the person or program, for the record.
            reason: of the deployment, for the record.
            run_id: of the Dagster run, for the record; "" for none.
            decision: number of the approval decision that this carries out; 0 for none.
            on_event: called with a line of text for each event of the deployment.

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
        """Make sure that endpoints of this store and project can be deployed and asked.

        Raises:
            HostUnavailable: they cannot.
        """

    @abstractmethod
    def describe(self, stage: Stage) -> EndpointStatus:
        """What ``stage`` does right now. Raises HostUnavailable."""

    @abstractmethod
    def settled(self, stage: Stage, deadline: float) -> EndpointStatus:
        """Wait until every record there is has been served or given up; what is served then.

        Args:
            stage: whose records.
            deadline: on the clock of ``time.monotonic()`` (seconds).

        Raises:
            HostUnavailable: no host is up, or it is not done by then.
        """

    @abstractmethod
    def runtime_url(self) -> str:
        """Base URL for ``boto3.client("sagemaker-runtime", endpoint_url=…)``."""

    def links(self, stage: Stage) -> dict[str, str]:
        """Where to look at the endpoint of ``stage`` and how to ask it: addresses by what is there."""
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
        """A host for as long as the block lasts; the block begins with the runtime's URL.

        Args:
            log_file: gets what a host of its own says.
            start_timeout_s: how long it may take to answer (seconds).

        Raises:
            HostNotStarted: it does not start.
            HostUnavailable: there is none, or the one that runs serves another store.
        """

    def differing_settings(self, stage: Stage) -> list[str]:
        """Names of settings that the endpoint of ``stage`` does not have as they are today; none
        where endpoints have no settings. Raises HostUnavailable."""
        return []

    def history(self, stage: Stage) -> list[DeploymentRecord]:
        """The records of ``stage`` that can be read, newest first. Needs no running host."""
        found = []
        for info in reversed(self.store.list(records_prefix(stage))):
            try:
                found.append(self._record(info.key))
            except DamagedObject:  # `imgclf doctor --store` names it
                continue
        return found

    def current(self, stage: Stage) -> DeploymentRecord | None:
        """The newest record of ``stage``. Needs no running host. Raises DamagedObject."""
        newest = self.newest_key(stage)
        return self._record(newest) if newest else None

    def _record(self, key: str) -> DeploymentRecord:
        """The record at ``key``. Raises KeyMissing, DamagedObject."""
        data = self.objects.get(key)
        try:
            return parse_record(data, key)
        except RecordError as error:
            flaw = flaw_of(data, str(error).removeprefix(key).strip())
            raise DamagedObject(key, flaw, self.objects.url) from None

    def newest_key(self, stage: Stage) -> str | None:
        """The key of the newest record of ``stage``, which may be damaged."""
        return newest_key(self.objects, records_prefix(stage))

    def readable(self, stage: Stage) -> DeploymentRecord | None:
        """The newest record of ``stage``; ``None`` if there is none, or if it cannot be read, of
        which :meth:`current` tells. For what writes the next one."""
        try:
            return self.current(stage)
        except (DamagedObject, ObjectRefused):
            return None

    def _write(self, stage: Stage, **fields: object) -> DeploymentRecord:
        """Add a record behind all others, whatever the clock says."""
        now_ms = time.time_ns() // 1_000_000
        while True:
            created_ms = max(now_ms, next_number(self.objects, records_prefix(stage)))
            record = DeploymentRecord.at(created_ms, stage=stage, **fields)
            if self.store.create(record_key(record), record.model_dump_json().encode()):
                return record

    def _still_wanted(self, record: DeploymentRecord) -> None:
        """Leave the stage to a newer deployment. Raises DeploymentFailed."""
        newest = self.newest_key(record.stage)
        if newest is not None and newest > record_key(record):
            other = self.readable(record.stage)
            by = f", deployed by {other.deployed_by}" if other else ""
            raise DeploymentFailed(
                f"{record.model_version} was overtaken on {record.stage} by {version_in(newest)}{by}"
            )

    def _roll_back(self, record: DeploymentRecord, before: EndpointStatus, why: str) -> str:
        """Return to what was served before, so that a restarted host does too; says what was done."""
        failed = f"{record.model_version} cannot be served on {record.stage}: {why}"
        former = next(
            (old for old in self.history(record.stage) if old.digest == before.digest), None
        )
        if former is None:
            return f"{failed}; nothing was served there before"
        kept = former.model_dump(include={"model_version", "digest", "model_key"})
        reason = f"rolled back: {failed}"
        self._write(
            record.stage,
            **kept,
            deployed_by=record.deployed_by,
            reason=reason,
            run_id=record.run_id,
            decision=record.decision,
        )
        return f"{failed}; {former.model_version} goes on serving"
