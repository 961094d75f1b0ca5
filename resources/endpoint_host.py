"""Port: where models answer requests. Locally, one ``serving`` process for all stages.

Deploying writes a record into the store and waits until the host answers with its digest.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from serving.deployments import DeploymentRecord, EndpointStatus, Stage

if TYPE_CHECKING:
    from resources.object_store import ObjectStore
else:
    try:
        from resources.object_store import ObjectStore
    except ImportError:  # being written
        ObjectStore = dg.ConfigurableResource


class HostUnavailable(RuntimeError):
    """No endpoint host answers, or one that serves something else; the message says what to do."""


class DeploymentFailed(RuntimeError):
    """The host did not come to serve the model; the stage serves what it served before."""


class InvocationFailed(RuntimeError):
    """The endpoint refused a request. ``status`` is HTTP's, ``code`` the endpoint's own."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class LocalEndpointHost(dg.ConfigurableResource):
    """All stages in one local ``serving`` process that converges on the records in the store."""

    store: dg.ResourceDependency[ObjectStore]
    project: str
    address_file: str
    default_url: str
    deploy_timeout_s: float = 120.0

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
        """Make ``stage`` serve the model; returns once a request would be answered by it."""
        raise NotImplementedError

    def describe(self, stage: Stage) -> EndpointStatus:
        """What the host says of ``stage``. Raises HostUnavailable."""
        raise NotImplementedError

    def history(self, stage: Stage) -> list[DeploymentRecord]:
        """All records of ``stage``, newest first."""
        raise NotImplementedError

    def current(self, stage: Stage) -> DeploymentRecord | None:
        """The newest record of ``stage``; needs no running host."""
        raise NotImplementedError

    def runtime_url(self) -> str:
        """Base URL for ``boto3.client("sagemaker-runtime", endpoint_url=…)``."""
        raise NotImplementedError

    def invoke(
        self, stage: Stage, body: bytes, content_type: str, top_k: int | None = None
    ) -> dict[str, object]:
        """Send one request; the parsed answer. Raises HostUnavailable, InvocationFailed."""
        raise NotImplementedError


@contextmanager
def running_host(
    host: LocalEndpointHost,
    *,
    log_file: Path,
    start_timeout_s: float = 60.0,
    environment: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """A host for as long as the block lasts: the one that is up, or one of its own.

    Yields the URL of the runtime.
    """
    raise NotImplementedError
    yield ""
