"""What a deployment on this machine does when it is overtaken, or the model cannot be served."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr

from object_store.store import ObjectStore
from resources.endpoints.endpoint_host import DeploymentFailed
from resources.endpoints.local import LocalEndpoints
from serving.deployments import Deployment, DeploymentRecord, EndpointStatus, Stage, record_key

pytestmark = pytest.mark.unit

DIGESTS = {version: character * 64 for version, character in zip("ABC", "abc", strict=True)}


class Told(LocalEndpoints):
    """Endpoints whose host says what a test has it say."""

    _served: str = PrivateAttr(default="")
    _say: Callable[[], EndpointStatus] = PrivateAttr()
    _asked: int = PrivateAttr(default=0)

    def settled(self, stage: Stage, deadline: float) -> EndpointStatus:
        return status("InService" if self._served else "NotFound", digest=DIGESTS.get(self._served))

    def describe(self, stage: Stage) -> EndpointStatus:
        self._asked += 1
        return self._say()


def status(state: Any, **fields: Any) -> EndpointStatus:
    return EndpointStatus(stage="prod", name="shop-prod", status=state, **fields)


def of(version: str) -> Deployment:
    return Deployment(
        stage="prod",
        model_version=version,
        digest=DIGESTS[version],
        model_key=f"models/{version}",
        deployed_by="ann",
        reason="test",
        run_id="run-1",
        decision=7,
    )


@pytest.fixture
def host(tmp_path: Path) -> Told:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    return Told(
        store=store, project="shop", address_file=str(tmp_path / "a"), default_url="http://x",
        deploy_timeout_s=3.0,
    )  # fmt: skip


def test_what_is_wanted_is_recorded_as_it_is(host: Told) -> None:
    host._write(of("A"))
    record = host.current("prod")
    assert record is not None
    assert record.deployment == of("A")
    assert DeploymentRecord.of(of("A"), record.created_ms) == record


def test_a_deployment_that_was_overtaken_gives_way_at_once(host: Told) -> None:
    def overtaken() -> EndpointStatus:
        newer = host._write(of("B"))
        return status("InService", record_key=record_key(newer), digest=DIGESTS["B"])

    host._say = overtaken
    with pytest.raises(DeploymentFailed, match="superseded on prod by B"):
        host.deploy(of("A"))
    assert host._asked == 1
    assert [record.model_version for record in host.history("prod")] == ["B", "A"]


def test_what_was_served_before_is_returned_to_not_what_was_recorded_last(host: Told) -> None:
    host._write(of("A"))
    host._write(of("B"))  # whose deployer was killed; B was never served

    def failed() -> EndpointStatus:
        newest = host.current("prod")
        assert newest is not None
        return status("Failed", record_key=record_key(newest), failure_reason="it is damaged")

    host._served, host._say = "A", failed
    with pytest.raises(DeploymentFailed, match="it is damaged; A goes on serving"):
        host.deploy(of("C"))
    assert [record.model_version for record in host.history("prod")] == ["A", "C", "B", "A"]
    rolled_back = host.history("prod")[0].deployment
    assert rolled_back == replace(of("A"), reason=rolled_back.reason)
    assert rolled_back.reason.startswith("rolled back: C cannot be served on prod")
