"""Endpoints on this machine: one ``serving`` process for all stages follows the records."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from resources.endpoints.endpoint_host import DeploymentFailed, Endpoints, HostUnavailable
from resources.waiting import poll
from serving.deployments import (
    STAGES,
    Deployment,
    DeploymentRecord,
    EndpointStatus,
    Stage,
    endpoint_name,
    record_key,
)
from serving.endpoint.address import read_address
from serving.endpoint.client import HostClient, HostSilent
from serving.endpoint.launch import own_host

_POLL_S = 0.1


class LocalEndpoints(Endpoints):
    """All stages in one local ``serving`` process that converges on the records in the store.

    Attributes:
        address_file: where a running host says how it is reached.
        default_url: where a host is looked for when there is no address file.
        environment: variables of a host that is started here: what one request may cost.
    """

    address_file: str
    default_url: str
    environment: dict[str, str] = {}
    deploy_timeout_s: float = 120.0

    _host: HostClient | None = PrivateAttr(default=None)

    def deploy(
        self, deployment: Deployment, on_event: Callable[[str], object] = lambda _: None
    ) -> EndpointStatus:
        """Write a deployment record and wait until the host serves it; see :meth:`Endpoints.deploy`."""
        deadline = time.monotonic() + self.deploy_timeout_s
        before = self.settled(deployment.stage, deadline)
        newest = self.readable(deployment.stage)
        served = newest is not None and newest.digest == deployment.digest
        if served and before.status == "InService":
            return before
        return self._await(self._write(deployment), before, deadline)

    def check(self) -> None:
        """Check that a host is up and serves this store and project; see :meth:`Endpoints.check`."""
        self._checked(self._client())

    def describe(self, stage: Stage) -> EndpointStatus:
        """See :meth:`Endpoints.describe`."""
        try:
            return self._client().describe(endpoint_name(self.project, stage))
        except HostSilent as error:
            raise self._unavailable(error) from error

    def settled(self, stage: Stage, deadline: float) -> EndpointStatus:
        """See :meth:`Endpoints.settled`."""
        status, newest = poll(
            lambda: (self.describe(stage), self.newest_key(stage)),
            lambda seen: seen[0].record_key == seen[1] and not seen[0].changing,
            deadline=deadline,
            poll_s=_POLL_S,
        )
        if status.record_key == newest and not status.changing:
            return status
        problem = self._client().ping().store_problem
        raise HostUnavailable(
            f"{status.name} does not serve {newest or 'nothing'} "
            f"in time (it is {status.status})" + (f": {problem}" if problem else "")
        )

    def runtime_url(self) -> str:
        """Return the running host's URL, else the one at which ``imgclf up`` would start a host."""
        address = read_address(self.address_path)
        return address.url if address else self.default_url

    def links(self, stage: Stage) -> dict[str, str]:
        """Return addresses at the host of ``imgclf up``; see :meth:`Endpoints.links`.

        A host that a command starts for itself has another address, and ends with the command.
        """
        url = f"{self.default_url}/endpoints/{endpoint_name(self.project, stage)}"
        return {"url": url, "invocations": f"{url}/invocations"}

    def invoke(
        self, stage: Stage, body: bytes, content_type: str, top_k: int | None = None
    ) -> dict[str, Any]:
        """Send one request to the local host; see :meth:`Endpoints.invoke`.

        Args:
            stage: whose endpoint.
            body: of the request, in the form of ``content_type``.
            content_type: MIME type of the body.
            top_k: number of labels in the answer; default: all.
        """
        try:
            return self._client().invoke(
                endpoint_name(self.project, stage), body, content_type, top_k
            )
        except HostSilent as error:
            raise self._unavailable(error) from error

    def hosting(
        self, *, log_file: Path, start_timeout_s: float = 60.0
    ) -> AbstractContextManager[str]:
        """See :func:`running_host`."""
        return running_host(self, log_file=log_file, start_timeout_s=start_timeout_s)

    @property
    def address_path(self) -> Path:
        """``address_file`` as a path."""
        return Path(self.address_file)

    def _await(
        self, record: DeploymentRecord, before: EndpointStatus, deadline: float
    ) -> EndpointStatus:
        """Wait for the host to serve ``record``; roll back to ``before`` if it does not.

        Args:
            record: that was written.
            before: status before it.
            deadline: in seconds of ``time.monotonic()``.

        Raises:
            DeploymentFailed: the model is not served in time, or a newer deployment replaced it.
        """
        key, why = record_key(record), f"not served within {self.deploy_timeout_s:g} s"

        def look() -> EndpointStatus | HostUnavailable:
            try:
                return self.describe(record.stage)
            except HostUnavailable as error:
                return error  # a supervised host comes back; another runs into the deadline

        def is_over(seen: EndpointStatus | HostUnavailable) -> bool:
            if isinstance(seen, HostUnavailable) or seen.record_key is None:
                return False
            return seen.record_key > key or (seen.record_key == key and not seen.changing)

        seen = poll(look, is_over, deadline=deadline, poll_s=_POLL_S)
        if isinstance(seen, HostUnavailable):
            why = str(seen)
        elif seen.record_key == key and seen.status == "InService":
            return seen
        elif seen.record_key == key and seen.status == "Failed":
            why = seen.failure_reason or "the host gives no reason"
        self._still_wanted(record)
        raise DeploymentFailed(self._roll_back(record, before, why))

    def _client(self) -> HostClient:
        """Return a client of the running host, which was checked to be the right one."""
        url = self.runtime_url()
        if self._host is None or self._host.url != url:
            self._host = self._checked(HostClient(url))
        return self._host

    def _checked(self, client: HostClient) -> HostClient:
        try:
            answer = client.ping()
        except HostSilent as error:
            raise self._unavailable(error) from error
        if (answer.store, answer.project) != (self.objects.url, self.project):
            raise HostUnavailable(
                f"the endpoint host at {client.url} serves {answer.project} from {answer.store}, "
                f"not {self.project} from {self.objects.url}; stop it, or choose another port "
                "(endpoint under [ports] in imgclf.toml)"
            )
        return client

    def _unavailable(self, why: Exception) -> HostUnavailable:
        return HostUnavailable(
            f"no endpoint host answers at {self.runtime_url()} ({why}); start one with `imgclf up`"
        )


@contextmanager
def running_host(
    host: LocalEndpoints, *, log_file: Path, start_timeout_s: float = 60.0
) -> Iterator[str]:
    """Have a host run for the length of a block: the one that is up, or a new one (own_host).

    When the block begins, the host has loaded the deployed models.

    Args:
        host: gives store and project.
        log_file: for the output of a host that is started here.
        start_timeout_s: seconds that it may take to answer.

    Yields:
        The runtime's URL.

    Raises:
        HostNotStarted: the host does not start.
        HostUnavailable: the running host serves another store.
    """
    with own_host(
        store_url=host.objects.url,
        project=host.project,
        address_file=host.address_path,
        log_file=log_file,
        start_timeout_s=start_timeout_s,
        environment=host.environment,
    ):
        host.check()
        deadline = time.monotonic() + start_timeout_s
        for stage in STAGES:
            host.settled(stage, deadline)
        yield host.runtime_url()
