"""The release: nothing reaches production but what a person approved and every check let through,
whoever launches what by hand."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from assets.dataset.versions import record_sources
from assets.evaluation.records import evaluations_prefix
from assets.release.verdicts import record_verdict
from imgclf_dagster.decisions import (
    DecisionError,
    choose_package,
    previous_deployment,
    promotion_config,
    promotion_tags,
    undeployed_approvals,
)
from resources.registry.registry import DigestMismatch, ModelPackage
from serving.deployments import Deployment, DeploymentRecord, record_key

pytestmark = pytest.mark.graph

VERSION = "train-00000000000a"


def approval(package_digest: str, **changed: str) -> dict[str, Any]:
    given = {"approved_by": "ann", "reason": "good", "digest": package_digest, **changed}
    return {"ops": {"release_approval": {"config": given}}}


def deploys_nothing(shop: Any, *told: str) -> None:
    """A manual launch of ``prod_endpoint`` is refused, with these reasons."""
    refused = shop.run("prod_endpoint", partition=VERSION)
    assert not refused.success
    assert "is not deployed to production" in refused.why
    for reason in told:
        assert reason in refused.why
    assert shop.store.list("endpoints/prod") == []


def pending(shop: Any, package: ModelPackage) -> str:
    return "waits for approval"


def rejected(shop: Any, package: ModelPackage) -> str:
    shop.approve(package)
    shop.reject(package)
    return f"{VERSION} was rejected by bob: bad"


def failed_gate(shop: Any, package: ModelPackage) -> str:
    shop.approve(package)
    shop.judge(VERSION, "beats_champion", digest=package.digest, passed=False, reason="too bad")
    return "beats_champion failed: too bad"


def failed_on_staging(shop: Any, package: ModelPackage) -> str:
    shop.approve(package)
    shop.judge(
        VERSION, "staging_serves_digest", digest=package.digest, passed=False, reason="another"
    )
    return "staging_serves_digest failed: another"


def failed_data(shop: Any, package: ModelPackage) -> str:
    shop.approve(package)
    subject = f"dataset/{package.dataset_version}"
    record_verdict(
        shop.store, subject=subject, check="no_split_leakage", passed=False, reason="leaks"
    )
    return "no_split_leakage failed: leaks"


def failed_source(shop: Any, package: ModelPackage) -> str:
    shop.approve(package)
    record_verdict(
        shop.store, subject="annotations/a1", check="labels_known", passed=False, reason="unknown"
    )
    return "labels_known failed: unknown"


def source_never_checked(shop: Any, package: ModelPackage) -> str:
    shop.approve(package)
    record_sources(shop.store, package.dataset_version, {"raw_images": "r2", "annotations": "a1"})
    return "images_readable was never evaluated for raw_images/r2"


def unevaluated(shop: Any, package: ModelPackage) -> str:
    shop.approve(package)
    for info in shop.store.list(evaluations_prefix(VERSION)):
        shop.store.delete(info.key)
    return f"{VERSION} was never evaluated"


def verdict_without_a_digest(shop: Any, package: ModelPackage) -> str:
    shop.approve(package)
    shop.judge(VERSION, "export_matches_training", digest="")
    return "export_matches_training was evaluated for digest"


def check_of_another_digest(shop: Any, package: ModelPackage) -> str:
    shop.approve(package)
    shop.judge(VERSION, "export_matches_training", digest="f" * 64)
    return "export_matches_training was evaluated for digest ffffffffffff"


def tampered_artefact(shop: Any, package: ModelPackage) -> str:
    shop.approve(package)
    data = bytearray(shop.store.get(package.model_key))
    data[len(data) // 2] ^= 0xFF
    shop.tamper(package.model_key, bytes(data))
    return "the artefact cannot be used"


def exchanged_artefact(shop: Any, package: ModelPackage) -> str:
    """A whole and valid artefact, but another one."""
    shop.approve(package)
    shop.publish(shop.settings.store_dir, "train-00000000000b", sharpness=-10.0)
    shop.tamper(package.model_key, shop.store.get("models/train-00000000000b/output/model.tar.gz"))
    return f"registered is {package.digest[:12]}"


def vanished_artefact(shop: Any, package: ModelPackage) -> str:
    shop.approve(package)
    shop.store.delete(package.model_key)
    return "the artefact cannot be used"


def approved_by_nobody(shop: Any, package: ModelPackage) -> str:
    shop.registry._client().set_model_version_tag(
        shop.settings.project, package.registry_version, "approval_status", "Approved"
    )
    return "has no approver"


@pytest.mark.parametrize(
    "spoil",
    [
        pending,
        rejected,
        failed_gate,
        failed_on_staging,
        failed_data,
        failed_source,
        source_never_checked,
        unevaluated,
        verdict_without_a_digest,
        check_of_another_digest,
        tampered_artefact,
        exchanged_artefact,
        vanished_artefact,
        approved_by_nobody,
    ],
)
def test_a_launch_by_hand_deploys_nothing_that_is_not_let_through(
    shop: Any, spoil: Callable[[Any, ModelPackage], str]
) -> None:
    reported = spoil(shop, shop.candidate(VERSION))
    deploys_nothing(shop, reported)


def test_what_was_never_checked_or_registered_is_not_deployed(shop: Any) -> None:
    package = shop.approve(shop.candidate(VERSION))
    shop.publish(shop.settings.store_dir, "train-00000000000c")
    other = ModelPackage(**{**package.immutable().model_dump(), "model_version": "train-c"})
    shop.registry.register(other)
    shop.approve(other)
    shop.instance.add_dynamic_partitions("model_version", ["train-c", "train-d"])
    unchecked = shop.run("prod_endpoint", partition="train-c")
    assert "was never evaluated" in unchecked.why
    assert "beats_champion was never evaluated for trained_model/train-c" in unchecked.why
    unregistered = shop.run("prod_endpoint", partition="train-d")
    assert "no package 'train-d'" in unregistered.why
    assert shop.store.list("endpoints/prod") == []


def test_an_approval_needs_who_why_and_the_digest(shop: Any) -> None:
    package = shop.candidate(VERSION)
    with pytest.raises(Exception, match="release_approval"):
        shop.run("release_approval", partition=VERSION)
    for wrong, text in (
        ({"approved_by": " "}, "approved_by is empty: name who approves"),
        ({"reason": ""}, "reason is empty: give the reason why"),
        ({"digest": ""}, "digest '' is not one of 64 hex digits"),
        ({"digest": "abc"}, "digest 'abc' is not one of 64 hex digits"),
    ):
        refused = shop.run(
            "release_approval", partition=VERSION, config=approval(package.digest, **wrong)
        )
        assert f"{VERSION} is not approved" in refused.why
        assert text in refused.why
    other = shop.run("release_approval", partition=VERSION, config=approval("f" * 64))
    assert "nothing was approved" in other.why
    assert shop.registry.get(VERSION).approval_status == "PendingManualApproval"


def test_an_approval_is_recorded_in_the_registry_and_the_graph(shop: Any) -> None:
    package = shop.candidate(VERSION)
    done = shop.run("release_approval", partition=VERSION, config=approval(package.digest))
    assert done.success, done.why
    approved = shop.registry.get(VERSION)
    assert (approved.approval_status, approved.approver) == ("Approved", "ann")
    assert done.metadata("release_approval")["approved_by"] == "ann"
    again = shop.run(
        "release_approval", partition=VERSION, config=approval(package.digest, approved_by="eve")
    )
    assert again.metadata("release_approval")["approved_by"] == "eve"
    assert again.version("release_approval") != done.version("release_approval")
    assert [known.approver for known in shop.registry.decisions(VERSION)] == ["ann", "eve"]
    same_words = shop.run(
        "release_approval", partition=VERSION, config=approval(package.digest, approved_by="eve")
    )
    assert same_words.version("release_approval") != again.version("release_approval")
    assert len(shop.registry.decisions(VERSION)) == 3


def test_an_approval_that_the_registry_holds_is_no_new_one(shop: Any) -> None:
    """What the sensor and the command line launch carries a decision, and makes none."""
    package = shop.approve(shop.candidate(VERSION))
    job = shop.definitions.get_repository_def().get_implicit_global_asset_job_def()
    for _ in range(2):
        done = job.execute_in_process(
            instance=shop.instance,
            asset_selection=[dg.AssetKey("release_approval")],
            partition_key=VERSION,
            run_config=promotion_config(package),
            tags=promotion_tags(package),
        )
        assert done.success
    assert len(shop.registry.decisions(VERSION)) == 1
    assert shop.registry.get(VERSION) == package


def test_whoever_launches_the_approval_of_a_nameless_one_gives_it_a_name(shop: Any) -> None:
    package = shop.candidate(VERSION)
    approved_by_nobody(shop, package)
    done = shop.run("release_approval", partition=VERSION, config=approval(package.digest))
    assert done.success, done.why
    assert shop.registry.get(VERSION).approver == "ann"


@pytest.mark.parametrize("spoil", [rejected, failed_on_staging, vanished_artefact])
def test_what_may_not_be_deployed_cannot_be_approved(
    shop: Any, spoil: Callable[[Any, ModelPackage], str]
) -> None:
    package = shop.candidate(VERSION)
    reported = spoil(shop, package)
    refused = shop.run("release_approval", partition=VERSION, config=approval(package.digest))
    assert "is not approved" in refused.why
    assert reported in refused.why


def test_a_candidate_that_failed_a_gate_is_neither_registered_nor_staged(shop: Any) -> None:
    package = shop.candidate(VERSION, register=False)
    failed_gate_reason = "too bad"
    shop.judge(
        VERSION, "beats_champion", digest=package.digest, passed=False, reason=failed_gate_reason
    )
    done = shop.run("registered_package", "staging_endpoint", partition=VERSION)
    assert done.materialized == []
    assert "is not registered" in done.why
    assert failed_gate_reason in done.why
    assert shop.registry.list() == ()
    assert shop.store.list("endpoints/staging") == []


@pytest.mark.parametrize("spoil", [failed_gate, failed_source, unevaluated, exchanged_artefact])
def test_a_registered_package_that_is_spoilt_since_is_not_staged(
    shop: Any, spoil: Callable[[Any, ModelPackage], str]
) -> None:
    reported = spoil(shop, shop.candidate(VERSION))
    refused = shop.run("staging_endpoint", partition=VERSION)
    assert "is not deployed to staging" in refused.why
    assert reported in refused.why
    assert shop.store.list("endpoints/staging") == []


def test_a_model_version_is_never_registered_with_a_second_digest(shop: Any) -> None:
    package = shop.candidate(VERSION)
    changed = ModelPackage(**{**package.immutable().model_dump(), "digest": "f" * 64})
    with pytest.raises(DigestMismatch):
        shop.registry.register(changed)


def test_without_a_host_nothing_is_recorded_and_the_remedy_is_named(shop: Any) -> None:
    shop.approve(shop.candidate(VERSION))
    done = shop.run("prod_endpoint", partition=VERSION)
    assert "imgclf up" in done.why
    assert shop.store.list("endpoints/prod") == []


def test_a_package_is_chosen_by_a_unique_beginning(shop: Any) -> None:
    with pytest.raises(DecisionError, match="nothing is registered"):
        choose_package(shop.registry, shop.endpoints, None)
    for version in ("train-aa1", "train-ab2"):
        shop.candidate(version)

    def chosen(name: str | None) -> str:
        return choose_package(shop.registry, shop.endpoints, name).model_version

    with pytest.raises(DecisionError, match="nothing is staged"):
        chosen(None)
    assert chosen("train-aa") == "train-aa1"
    assert chosen("ab2") == "train-ab2"
    for name in ("a", "zz"):
        with pytest.raises(DecisionError, match="packages begin with"):
            chosen(name)


def test_the_latest_decision_is_carried_out_and_overtakes_earlier_ones(
    shop: Any, deployed: Callable[..., Any]
) -> None:
    one, two, three = (shop.candidate(f"train-{number}") for number in (1, 2, 3))

    def waiting() -> list[str]:
        return [p.model_version for p in undeployed_approvals(shop.endpoints, shop.registry)]

    assert waiting() == []
    shop.approve(two)
    shop.approve(one)
    assert waiting() == ["train-1", "train-2"]
    deployed(shop, shop.registry.get("train-1"))
    assert waiting() == []  # and not train-2, whose approval is the older one
    shop.approve(three)
    assert waiting() == ["train-3"]
    deployed(shop, shop.registry.get("train-3"))
    assert previous_deployment(shop.endpoints, shop.registry).model_version == "train-1"
    shop.reject(one)
    assert previous_deployment(shop.endpoints, shop.registry) is None


def waiting(shop: Any) -> list[str]:
    return [p.model_version for p in undeployed_approvals(shop.endpoints, shop.registry)]


def test_the_same_words_again_are_a_new_decision(shop: Any, deployed: Callable[..., Any]) -> None:
    """Ann approves one, then two, then one again as before: one is to be in production."""
    one, two = (shop.candidate(f"train-{number}") for number in (1, 2))
    deployed(shop, shop.approve(one))
    deployed(shop, shop.approve(two))
    assert waiting(shop) == []
    shop.approve(one)
    assert waiting(shop) == ["train-1"]


def test_approving_what_is_live_again_overtakes_what_waits(
    shop: Any, deployed: Callable[..., Any]
) -> None:
    one, two = (shop.candidate(f"train-{number}") for number in (1, 2))
    deployed(shop, shop.approve(one))
    shop.approve(two)
    assert waiting(shop) == ["train-2"]
    shop.approve(one)
    assert waiting(shop) == []


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=4000)])
def test_a_deployment_by_a_clock_that_was_ahead_overtakes_no_later_decision(
    shop: Any, ahead: timedelta
) -> None:
    one, two, three = (shop.candidate(f"train-{number}") for number in (1, 2, 3))
    shop.approve(three)
    shop.approve(one)
    record = DeploymentRecord.at(
        round((datetime.now(UTC) + ahead).timestamp() * 1000),
        stage="prod",
        model_version="train-1",
        digest=one.digest,
        model_key=one.model_key,
        deployed_by="ann",
        reason="good",
    )
    shop.store.put(record_key(record), record.model_dump_json().encode())
    assert waiting(shop) == []
    shop.approve(two)
    assert waiting(shop) == ["train-2"]


def test_an_attempt_that_failed_is_not_repeated_until_somebody_decides_again(shop: Any) -> None:
    one, two = (shop.approve(shop.candidate(f"train-{number}")) for number in (1, 2))
    given = {"deployed_by": "ann", "reason": "good", "model_key": one.model_key}
    for package, decision in ((one, one.decision), (two, two.decision), (one, two.decision)):
        shop.endpoints._write(  # as the third returns to the first when the second cannot be served
            Deployment(
                stage="prod",
                model_version=package.model_version,
                digest=package.digest,
                decision=decision,
                **given,
            )
        )
    assert waiting(shop) == []
    shop.approve(two)
    assert waiting(shop) == ["train-2"]


def test_in_a_home_of_884d3c5_decisions_go_by_their_times_and_new_ones_come_after(
    shop: Any, deployed: Callable[..., Any]
) -> None:
    def approved_at(version: str, moment: datetime) -> ModelPackage:
        package = shop.candidate(version)
        for key, value in (
            ("approver", "ann"),
            ("approval_reason", "good"),
            ("approval_changed_at", moment.isoformat()),
            ("approval_status", "Approved"),
        ):
            shop.registry._client().set_model_version_tag(
                "imgclf", package.registry_version, key, value
            )
        return shop.registry.get(version)

    now = datetime.now(UTC)
    approved_at("train-1", now - timedelta(days=2))
    deployed(shop, approved_at("train-2", now - timedelta(days=1)))
    assert waiting(shop) == []
    assert previous_deployment(shop.endpoints, shop.registry) is None
    approved_at("train-3", now + timedelta(days=300))  # the clock was ahead
    assert waiting(shop) == ["train-3"]
    four = shop.approve(shop.candidate("train-4"))
    assert waiting(shop) == ["train-4", "train-3"]
    shop.endpoints._write(
        Deployment(
            stage="prod",
            model_version="train-4",
            digest=four.digest,
            model_key=four.model_key,
            deployed_by="ann",
            reason="good",
            decision=four.decision,
        )
    )
    assert waiting(shop) == []


def test_the_newest_decision_counts_in_whatever_order_the_runs_come(
    shop: Any, deployed: Callable[..., Any]
) -> None:
    """Both were approved before the daemon looked; the later one reached production first."""
    one, two = (shop.candidate(f"train-{number}") for number in (1, 2))
    shop.approve(one)
    deployed(shop, shop.approve(two))
    late = shop.run("prod_endpoint", partition="train-1")
    assert "its approval was superseded by that of train-2 by ann" in late.why
    assert "approve train-1 again" in late.why
    shop.approve(one)
    assert (
        "superseded" not in shop.run("prod_endpoint", partition="train-1").why
    )  # but no host is up
    rolled_back = {"ops": {"prod_endpoint": {"config": {"deployed_by": "bob", "reason": "bad"}}}}
    shop.approve(two)
    by_hand = shop.run("prod_endpoint", partition="train-1", config=rolled_back)
    assert "superseded" not in by_hand.why
    shop.reject(two)
    assert "superseded" not in shop.run("prod_endpoint", partition="train-1").why
