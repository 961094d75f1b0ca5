"""The parts of the release that need no graph: what an approval lacks, how a rollout is told."""

from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from assets.release import release_asset, rollout
from assets.release.prod_endpoint import newest_decision
from assets.release.release_approval import ApprovalConfig, gaps
from assets.release.release_asset import find_package, refuse_on
from assets.release.rollout import roll_out
from resources.endpoints.endpoint_host import DeploymentFailed, HostUnavailable
from resources.registry.registry import ModelPackage, RegistryError
from serving.deployments import Deployment, EndpointStatus

pytestmark = pytest.mark.unit

DIGEST = "0123456789abcdef" * 4


def package(version: str = "train-1", **changes: Any) -> ModelPackage:
    fields: dict[str, Any] = {
        "model_version": version,
        "digest": DIGEST,
        "model_key": "k",
        "dataset_version": "d",
        "code_version": "1",
    }
    return ModelPackage(**{**fields, **changes})


def gaps_of(by: str = "ann", reason: str = "good", digest: str = DIGEST) -> list[str]:
    return gaps(ApprovalConfig(approved_by=by, reason=reason, digest=digest))


def test_an_approval_needs_a_name_a_reason_and_a_digest() -> None:
    assert gaps_of() == []
    assert gaps_of(by=" ") == ["approved_by is empty: name who approves"]
    assert gaps_of(reason="\t") == [
        "reason is empty: give the reason why this model may go to production"
    ]
    assert len(gaps_of(by="", reason="", digest="")) == 3
    for digest in (DIGEST[:-1], f"{DIGEST}0", DIGEST.upper(), f"x{DIGEST[1:]}"):
        assert gaps_of(digest=digest) == [
            f"digest {digest!r} is not one of 64 hex digits: copy it from the metadata of "
            "registered_package"
        ]


def test_a_stop_lists_every_objection_and_is_not_tried_again() -> None:
    refuse_on("train-1", [], "registered")
    with pytest.raises(dg.Failure) as raised:
        refuse_on("train-1", ["one", "two"], "registered")
    assert raised.value.description == "train-1 is not registered:\n- one\n- two"
    assert raised.value.allow_retries is False


def test_what_the_registry_says_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def get(version: str) -> ModelPackage:
        asked.append(version)
        if version == "train-1":
            return package()
        raise RegistryError(f"no {version}")

    registry: Any = SimpleNamespace(get=get)
    assert find_package(registry, "train-1") == package()
    for transient in (True, False):
        monkeypatch.setattr(
            release_asset,
            "is_transient",
            lambda error, told=transient: told and str(error) == "no train-2",
        )
        with pytest.raises(dg.Failure) as raised:
            find_package(registry, "train-2")
        assert raised.value.description == "no train-2"
        assert raised.value.allow_retries is transient
    assert asked == ["train-1", "train-2", "train-2"]


@pytest.mark.parametrize(
    ("key", "decision"),
    [
        (None, 3),
        ("endpoints/prod/0000000000001-train-2.json", 5),
        ("endpoints/prod/0000000000001-train-9.json", 3),
    ],
)
def test_a_rollout_carries_out_the_newest_decision_of_both_models(
    key: str | None, decision: int
) -> None:
    known = [
        package(decision=3),
        package("train-2", decision=5),
        package("train-3", decision=9),
    ]
    endpoints: Any = SimpleNamespace(newest_key={"prod": key}.__getitem__)
    assert newest_decision(known[0], known, endpoints) == decision


class Endpoints:
    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.given = error, ()

    def deploy(self, deployment: Deployment, on_event: Any) -> EndpointStatus:
        self.given = (deployment, on_event)
        if self.error:
            raise self.error
        return EndpointStatus(
            stage="prod", name="p-prod", status="InService", since="2026-01-01T00:00:00Z"
        )

    def links(self, stage: str) -> dict[str, str]:
        return {"url": f"http://127.0.0.1/{stage}"}


def info(text: str) -> None: ...


WANTED = Deployment(
    stage="prod",
    model_version="train-1",
    digest=DIGEST,
    model_key="k",
    deployed_by="ann",
    reason="good",
)


def rolled_out(endpoints: Endpoints) -> dg.MaterializeResult:
    context: Any = SimpleNamespace(log=SimpleNamespace(info=info))
    host: Any = endpoints
    return roll_out(context, host, WANTED)


def test_a_rollout_says_what_it_deployed() -> None:
    endpoints = Endpoints()
    result = rolled_out(endpoints)
    assert endpoints.given == (WANTED, info)
    assert result.data_version == dg.DataVersion(DIGEST)
    assert result.metadata == {
        "model_version": "train-1",
        "digest": DIGEST,
        "endpoint": "p-prod",
        "url": dg.MetadataValue.url("http://127.0.0.1/prod"),
        "deployed_by": "ann",
        "reason": "good",
        "since": "2026-01-01 00:00:00+00:00",
    }


@pytest.mark.parametrize("error", [DeploymentFailed("too slow"), HostUnavailable("away")])
@pytest.mark.parametrize("transient", [True, False])
def test_a_rollout_that_failed_says_where_and_why(
    monkeypatch: pytest.MonkeyPatch, error: Exception, transient: bool
) -> None:
    monkeypatch.setattr(rollout, "is_transient", lambda found: transient and found is error)
    with pytest.raises(dg.Failure) as raised:
        rolled_out(Endpoints(error))
    assert raised.value.description == f"train-1 is not on prod: {error}"
    assert raised.value.allow_retries is transient
