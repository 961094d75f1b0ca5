"""A person's decisions: which package is meant, what production serves, what waits."""

from pathlib import Path
from typing import Any

import pytest

from assets.release.verdicts import record_verdict
from imgclf_dagster.decisions import (
    DecisionError,
    choose_package,
    live_deployment,
    previous_deployment,
    promotion_config,
    promotion_tags,
    undeployed_approvals,
    undone_rejection,
)
from object_store.store import ObjectStore
from resources.registry.registry import ModelPackage
from serving.deployments import DeploymentRecord, record_key

pytestmark = pytest.mark.unit

ONE, TWO, THREE = "a" * 64, "b" * 64, "c" * 64


def package(version: str, digest: str, status: str = "Approved", **changes: Any) -> ModelPackage:
    fields: dict[str, Any] = {
        "model_version": version,
        "digest": digest,
        "model_key": f"models/{version}",
        "dataset_version": "d",
        "code_version": "1",
        "approval_status": status,
        "approver": "ann",
        "approval_reason": "good",
    }
    return ModelPackage(**{**fields, **changes})


def served(version: str, digest: str, at: int, stage: str = "prod") -> DeploymentRecord:
    return DeploymentRecord.at(
        at,
        stage=stage,
        model_version=version,
        digest=digest,
        model_key=f"models/{version}",
        deployed_by="ann",
        reason="",
    )


class Registry:
    def __init__(self, *packages: ModelPackage) -> None:
        self._packages = packages

    def list(self) -> list[ModelPackage]:
        return list(self._packages)


class Endpoints:
    """What was deployed, the newest first; of a damaged newest record there is the key alone."""

    def __init__(
        self, store: Any = None, *records: DeploymentRecord, damaged: str | None = None
    ) -> None:
        self.objects, self.records, self.damaged = store, records, damaged

    def history(self, stage: str) -> list[DeploymentRecord]:
        return [record for record in self.records if record.stage == stage]

    def readable(self, stage: str) -> DeploymentRecord | None:
        if stage == "prod" and self.damaged:
            return None
        return next(iter(self.history(stage)), None)

    current = readable

    def newest_key(self, stage: str) -> str | None:
        record = self.readable(stage)
        if stage == "prod" and self.damaged:
            return self.damaged
        return record_key(record) if record else None


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    return store


def chosen(store: ObjectStore, name: str | None, *known: ModelPackage, staged: str = "") -> str:
    records = [served(staged, ONE, 1, "staging")] if staged else []
    endpoints: Any = Endpoints(store, *records)
    registry: Any = Registry(*known)
    return choose_package(registry, endpoints, name).model_version


def refusal(store: ObjectStore, name: str | None, *known: ModelPackage) -> str:
    with pytest.raises(DecisionError) as raised:
        chosen(store, name, *known)
    return str(raised.value)


KNOWN = [package(f"train-{name}", digest * 64) for name, digest in (("ab", "a"), ("abc", "b"))]
MANY = [package(f"train-{n}", f"{n}" * 64) for n in range(7)]


def test_a_package_is_named_in_full_or_by_a_unique_beginning(store: ObjectStore) -> None:
    assert chosen(store, "train-ab", *KNOWN) == "train-ab"
    assert chosen(store, "ab", *KNOWN) == "train-ab", "a whole name is none's beginning"
    assert chosen(store, "abc", *KNOWN) == "train-abc"
    assert chosen(store, "train-abc", *KNOWN) == "train-abc"
    assert chosen(store, "train-3", *MANY) == "train-3"
    others = [package("train-xyz", ONE), package("train-ab", TWO)]
    assert chosen(store, "x", *others) == "train-xyz"
    assert chosen(store, "train-x", *others) == "train-xyz"


def test_without_a_name_the_package_on_staging_is_meant(store: ObjectStore) -> None:
    assert chosen(store, None, *KNOWN, staged="train-abc") == "train-abc"
    text = "nothing is staged; name a model version (see `imgclf status`)"
    assert refusal(store, None, *KNOWN) == text


def test_a_name_of_none_or_of_several_is_refused_with_the_newest(store: ObjectStore) -> None:
    text = "2 packages begin with 'a'; the newest are train-ab, train-abc"
    assert refusal(store, "a", *KNOWN) == text
    newest = "train-0, train-1, train-2, train-3, train-4"
    assert refusal(store, "zz", *MANY) == f"no packages begin with 'zz'; the newest are {newest}"
    assert refusal(store, None) == (
        "nothing is registered yet; `imgclf run` registers a candidate that passes its checks, "
        "and `imgclf status` shows the state of the line"
    )


def judge(store: ObjectStore, version: str, check: str, *, passed: bool) -> None:
    subject = f"trained_model/{version}"
    record_verdict(store, subject=subject, check=check, passed=passed, reason=f"{check}!")


def test_a_model_that_was_held_back_is_reported_with_its_reasons(store: ObjectStore) -> None:
    judge(store, "train-x1", "beats_champion", passed=False)
    judge(store, "train-x1", "calibration_within_bound", passed=True)
    judge(store, "train-x1", "staging_serves_digest", passed=False)
    judge(store, "train-x2", "beats_champion", passed=True)
    held = (
        "train-x1 did not pass its checks, so it was never registered:\n"
        "- beats_champion failed: beats_champion!\n"
        "- staging_serves_digest failed: staging_serves_digest!"
    )
    waits = "train-x2 is not registered yet: `imgclf run` goes on with it"
    for known in ((), KNOWN):
        assert refusal(store, "x1", *known) == held
        assert refusal(store, "train-x1", *known) == held
        assert refusal(store, "x2", *known) == waits
        assert refusal(store, "x", *known) == f"{held}\n{waits}"
    assert refusal(store, "y", *KNOWN).startswith("no packages begin with 'y'")
    assert refusal(store, None).startswith("nothing is registered yet")


def live(endpoints: Any, *packages: ModelPackage) -> DeploymentRecord | None:
    registry: Any = Registry(*packages)
    return live_deployment(endpoints, registry)


def test_production_serves_its_newest_record() -> None:
    newest, older = served("train-2", TWO, 2), served("train-1", ONE, 1)
    assert live(Endpoints(None, newest, older)) == newest
    assert live(Endpoints(None)) is None
    assert live(Endpoints(None, served("train-1", ONE, 3, "staging"))) is None


def test_of_a_damaged_record_the_key_and_the_registry_tell() -> None:
    key = "endpoints/prod/0000000000007-train-2.json"
    endpoints = Endpoints(None, damaged=key)
    found = live(endpoints, package("train-1", ONE), package("train-2", TWO))
    assert found == DeploymentRecord.at(
        7,
        stage="prod",
        model_version="train-2",
        digest=TWO,
        model_key="models/train-2",
        deployed_by="unknown",
        reason=f"{key} cannot be read",
    )
    assert live(endpoints, package("train-1", ONE)) is None
    assert live(endpoints) is None
    nameless = live(Endpoints(None, damaged="endpoints/prod/x-train-2.json"), *[
        package("train-2", TWO)
    ])  # fmt: skip
    assert nameless is not None
    assert nameless.created_ms == 0


def previous(endpoints: Any, *packages: ModelPackage) -> str | None:
    registry: Any = Registry(*packages)
    found = previous_deployment(endpoints, registry)
    return found.model_version if found else None


def test_the_one_before_is_another_that_is_still_approved() -> None:
    newest, same, middle, oldest = (
        served("train-3", THREE, 4),
        served("train-3", THREE, 3),
        served("train-2", TWO, 2),
        served("train-1", ONE, 1),
    )
    endpoints = Endpoints(None, newest, same, middle, oldest)
    one, two, three = (package("train-1", ONE), package("train-2", TWO), package("train-3", THREE))
    assert previous(endpoints, one, two, three) == "train-2"
    assert previous(endpoints, one, package("train-2", TWO, "Rejected"), three) == "train-1"
    assert previous(endpoints, three) is None
    assert previous(Endpoints(None), one) is None
    staged = served("train-2", TWO, 9, "staging")
    assert previous(Endpoints(None, newest, staged), one, two, three) is None


def waiting(endpoints: Any, *packages: ModelPackage) -> list[str]:
    registry: Any = Registry(*packages)
    return [found.model_version for found in undeployed_approvals(endpoints, registry)]


def test_approvals_that_production_has_not_followed_wait_the_latest_first() -> None:
    one, two, three = (
        package("train-1", ONE, decision=1),
        package("train-2", TWO, decision=2),
        package("train-3", THREE, decision=3),
    )
    assert waiting(Endpoints(None), one, three, two) == ["train-3", "train-2", "train-1"]
    assert waiting(Endpoints(None, served("train-1", ONE, 1)), one, two, three) == [
        "train-3",
        "train-2",
    ]
    assert waiting(Endpoints(None, served("train-2", TWO, 1)), one, two, three) == ["train-3"]
    assert waiting(Endpoints(None, served("train-3", THREE, 1)), one, two, three) == []
    pending = package("train-3", THREE, "PendingManualApproval")
    assert waiting(Endpoints(None), one, pending) == ["train-1"]
    damaged = Endpoints(None, damaged="endpoints/prod/0000000000007-train-2.json")
    assert waiting(damaged, one, two, three) == ["train-3"]


def test_a_promotion_carries_the_approval_as_the_registry_holds_it() -> None:
    assert promotion_config(package("train-1", ONE)) == {
        "ops": {
            "release_approval": {"config": {"approved_by": "ann", "reason": "good", "digest": ONE}}
        }
    }
    unsaid = package("train-1", ONE, approval_reason="")
    config = promotion_config(unsaid)["ops"]["release_approval"]["config"]
    assert config["reason"] == "approved in the registry"
    assert promotion_tags(package("train-1", ONE, decision=7)) == {"imgclf/decision": "7"}
    assert promotion_tags(unsaid) == {}


def undone(endpoints: Any, *packages: ModelPackage) -> Any:
    registry: Any = Registry(*packages)
    return undone_rejection(endpoints, registry)


def test_a_rejected_model_in_production_gives_way_to_the_one_before() -> None:
    endpoints = Endpoints(None, served("train-2", TWO, 2), served("train-1", ONE, 1))
    one, two = package("train-1", ONE), package("train-2", TWO)
    rejected = package("train-2", TWO, "Rejected", approver="bob", approval_reason="bad")
    assert undone(endpoints, one, rejected) == (
        "train-1",
        {
            "ops": {
                "prod_endpoint": {
                    "config": {"deployed_by": "bob", "reason": "train-2 was rejected: bad"}
                }
            }
        },
    )
    assert undone(endpoints, one, two) is None
    assert undone(endpoints, rejected) is None, "there is none before"
    assert undone(Endpoints(None), one, rejected) is None
    other = package("train-3", THREE, "Rejected")
    assert undone(endpoints, other, one, two) is None
    assert undone(endpoints, one) is None, "what serves is not in the registry"


def test_a_damaged_record_of_production_can_be_rolled_back_and_rejected() -> None:
    older = served("train-1", ONE, 1)
    endpoints = Endpoints(None, older, damaged="endpoints/prod/0000000000007-train-2.json")
    one, two = package("train-1", ONE), package("train-2", TWO)
    assert previous(endpoints, one, two) == "train-1"
    rejected = package("train-2", TWO, "Rejected", approver="bob", approval_reason="bad")
    found = undone(endpoints, one, rejected)
    assert found is not None
    assert found[0] == "train-1"
