"""Port: where models answer requests. Locally, one ``serving`` process for all stages.

Deploying writes a record into the store and waits until the host answers with its digest. A
record whose model cannot be served is followed by one that returns to what was served before.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import httpx
from pydantic import PrivateAttr

from resources.object_store import ObjectStore
from serving.address import read_address
from serving.deployments import (
    DeploymentRecord,
    EndpointStatus,
    Stage,
    endpoint_name,
    parse_record,
    record_key,
    records_prefix,
)
from serving.launch import own_host

_POLL_S = 0.1
_CONNECT_S = 5.0
_ANSWER_S = 60.0
"""As long as SageMaker gives a model to answer
(https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html)."""


class HostUnavailable(RuntimeError):  # noqa: N818 - a state, as its callers say it
    """No endpoint host answers, or one that serves another store; the message says what to do."""


class DeploymentFailed(RuntimeError):  # noqa: N818 - a state, as its callers say it
    """The host did not come to serve the model; the stage serves what it served before."""


class InvocationFailed(RuntimeError):  # noqa: N818 - a state, as its callers say it
    """The endpoint refused a request. ``status`` is HTTP's, ``code`` the endpoint's own."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class LocalEndpointHost(dg.ConfigurableResource):
    """All stages in one local ``serving`` process that converges on the records in the store.

    Attributes:
        store: holds records and models; the host must serve this very store.
        project: endpoints are named ``<project>-<stage>``.
        address_file: where a running host says how it is reached.
        default_url: where a host is looked for when there is no address file.
        deploy_timeout_s: how long a deployment may take to be answered by (seconds).
    """

    store: dg.ResourceDependency[ObjectStore]
    project: str
    address_file: str
    default_url: str
    deploy_timeout_s: float = 120.0

    _http: httpx.Client | None = PrivateAttr(default=None)

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
    ) -> EndpointStatus:
        """Make ``stage`` serve the model; returns once requests are answered by it.

        Repeating it (after a crash, say) writes no second record where the first one is served
        or still on its way.

        Raises:
            HostUnavailable: no host is up; nothing was written.
            DeploymentFailed: the model cannot be served, or not in time, or a newer deployment
                overtook this one.
        """
        deadline = time.monotonic() + self.deploy_timeout_s
        before = self._settled(stage, deadline)
        newest = self.current(stage)
        if newest is not None and newest.digest == digest and before.status == "InService":
            return before
        record = self._write(
            stage,
            model_version=model_version,
            digest=digest,
            model_key=model_key,
            deployed_by=deployed_by,
            reason=reason,
            run_id=run_id,
        )
        return self._await(record, before, deadline)

    def check(self) -> None:
        """Make sure that a host is up and serves this store and project.

        Raises:
            HostUnavailable: it is not, or does not.
        """
        self._check_host(self._client())

    def describe(self, stage: Stage) -> EndpointStatus:
        """What the host says of ``stage``.

        Raises:
            HostUnavailable: no host is up, or it serves another store or project.
        """
        name = endpoint_name(self.project, stage)
        try:
            answer = self._client().get(f"/endpoints/{name}").raise_for_status()
        except httpx.HTTPError as error:
            raise self._unavailable(str(error)) from error
        return EndpointStatus.model_validate_json(answer.content)

    def history(self, stage: Stage) -> list[DeploymentRecord]:
        """All records of ``stage``, newest first. Needs no running host."""
        keys = [info.key for info in self.store.list(records_prefix(stage))]
        return [parse_record(self.store.get(key), key) for key in reversed(keys)]

    def current(self, stage: Stage) -> DeploymentRecord | None:
        """The newest record of ``stage``. Needs no running host."""
        newest = self.store.newest(records_prefix(stage))
        return parse_record(self.store.get(newest.key), newest.key) if newest else None

    def runtime_url(self) -> str:
        """Base URL for ``boto3.client("sagemaker-runtime", endpoint_url=…)``: that of the host
        that runs, else where ``imgclf up`` would start one.
        """
        address = read_address(self.address_path)
        return address.url if address else self.default_url

    def invoke(
        self, stage: Stage, body: bytes, content_type: str, top_k: int | None = None
    ) -> dict[str, object]:
        """Send one request; the parsed answer.

        Raises:
            HostUnavailable: no host is up.
            InvocationFailed: the endpoint refused it.
        """
        path = f"/endpoints/{endpoint_name(self.project, stage)}/invocations"
        try:
            answer = self._client().post(
                path,
                content=body,
                headers={"content-type": content_type},
                params={"top_k": top_k} if top_k else None,
            )
        except httpx.HTTPError as error:
            raise self._unavailable(str(error)) from error
        parsed: dict[str, object] = answer.json()
        if answer.is_error:
            told = answer.json()["error"]
            raise InvocationFailed(answer.status_code, told["code"], told["message"])
        return parsed

    @property
    def address_path(self) -> Path:
        """``address_file`` as a path."""
        return Path(self.address_file)

    def _settled(self, stage: Stage, deadline: float) -> EndpointStatus:
        """The endpoint's status once the host has done with every record there is."""
        while True:
            status = self.describe(stage)
            newest = self.store.newest(records_prefix(stage))
            if status.record_key == (newest.key if newest else None) and not status.changing:
                return status
            if time.monotonic() > deadline:
                raise DeploymentFailed(
                    f"{status.name} is still busy with an earlier deployment ({status.status}) "
                    f"after {self.deploy_timeout_s:g} s; nothing was deployed"
                )
            time.sleep(_POLL_S)

    def _write(self, stage: Stage, **fields: str) -> DeploymentRecord:
        """Add a record behind all others, whatever the clock says."""
        now_ms = time.time_ns() // 1_000_000
        while True:
            newest = self.current(stage)
            created_ms = max(now_ms, newest.created_ms + 1 if newest else 0)
            record = DeploymentRecord.at(created_ms, stage=stage, **fields)
            if self.store.create(record_key(record), record.model_dump_json().encode()):
                return record

    def _await(
        self, record: DeploymentRecord, before: EndpointStatus, deadline: float
    ) -> EndpointStatus:
        """Wait for the host to serve ``record``; return to ``before`` if it does not."""
        key, why = record_key(record), f"not served within {self.deploy_timeout_s:g} s"
        while time.monotonic() < deadline:
            try:
                status = self.describe(record.stage)
            except HostUnavailable as error:
                # A supervised host comes back; one that does not runs into the deadline.
                why = str(error)
            else:
                if status.record_key == key and status.status == "InService":
                    return status
                if status.record_key == key and status.status == "Failed":
                    why = status.failure_reason or "the host does not say why"
                    break
                if status.record_key is not None and status.record_key > key:
                    break
            time.sleep(_POLL_S)
        newest = self.current(record.stage)
        if newest is not None and record_key(newest) > key:
            raise DeploymentFailed(
                f"{record.model_version} was overtaken on {record.stage} by "
                f"{newest.model_version}, deployed by {newest.deployed_by}"
            )
        raise DeploymentFailed(self._roll_back(record, before, why))

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
        )
        return f"{failed}; {former.model_version} goes on serving"

    def _client(self) -> httpx.Client:
        """A client of the host that runs, after making sure that it is the right one."""
        address = read_address(self.address_path)
        url = address.url if address else self.default_url
        if self._http is None or self._http.base_url != httpx.URL(url):
            # Loopback: a proxy of the environment is not meant for it.
            client = httpx.Client(
                base_url=url,
                timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
                trust_env=False,
                verify=False,  # noqa: S501 - plain HTTP; loading certificates takes 30 ms
            )
            self._check_host(client)
            self._http = client
        return self._http

    def _check_host(self, client: httpx.Client) -> None:
        try:
            told = client.get("/ping").raise_for_status().json()
            store, project = told["store"], told["project"]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise self._unavailable(str(error) or repr(error)) from error
        if (store, project) != (self.store.url, self.project):
            raise HostUnavailable(
                f"the endpoint host at {client.base_url} serves {project} from {store}, "
                f"not {self.project} from {self.store.url}; stop it, or choose another port "
                "(endpoint under [ports] in imgclf.toml)"
            )

    def _unavailable(self, why: str) -> HostUnavailable:
        return HostUnavailable(
            f"no endpoint host answers at {self.runtime_url()} ({why}); start one with `imgclf up`"
        )


@contextmanager
def running_host(
    host: LocalEndpointHost, *, log_file: Path, start_timeout_s: float = 60.0
) -> Iterator[str]:
    """A host for as long as the block lasts: the one that is up, or one of its own (own_host).

    Args:
        host: for which store and project.
        log_file: gets what a host of its own says.
        start_timeout_s: how long it may take to answer (seconds).

    Yields:
        The runtime's URL.

    Raises:
        HostNotStarted: it does not start.
        HostUnavailable: the one that runs serves another store.
    """
    with own_host(
        store_url=host.store.url,
        project=host.project,
        address_file=host.address_path,
        log_file=log_file,
        start_timeout_s=start_timeout_s,
    ):
        host.check()
        yield host.runtime_url()
