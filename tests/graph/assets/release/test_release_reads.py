"""How often an approval reads a model and its verdicts, on its whole way into production."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

import training.artefact.artefact
from assets.release import verdicts
from assets.release.verdicts import DATASET_CHECKS, MODEL_CHECKS, SOURCE_CHECKS, STAGING_CHECKS
from imgclf_dagster.decisions import promotion_config, promotion_tags
from object_store.store import ObjectStore
from resources.registry.registry import ModelPackage

pytestmark = pytest.mark.graph

VERSION = "train-00000000000a"
SOURCES = sum(SOURCE_CHECKS.values(), ())
CHECKS = {*SOURCES, *DATASET_CHECKS, *MODEL_CHECKS, *STAGING_CHECKS}


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The archives that are unpacked and hashed in this process, in order."""
    found: list[str] = []
    unpack = training.artefact.artefact.unpack

    def noted(archive: Any, *args: Any, **more: Any) -> Any:
        found.append(str(archive))
        return unpack(archive, *args, **more)

    monkeypatch.setattr(training.artefact.artefact, "unpack", noted)
    return found


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The checks whose verdict is read, in order."""
    found: list[str] = []
    read_verdict = verdicts.read_verdict

    def noted(store: ObjectStore, key: str) -> Any:
        found.append(key.split("/")[-2])
        return read_verdict(store, key)

    monkeypatch.setattr(verdicts, "read_verdict", noted)
    return found


def carried_out(shop: Any, package: ModelPackage) -> Any:
    """Record the decision in the graph, as the sensor and the command line do."""
    job = shop.definitions.get_repository_def().get_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=shop.instance,
        asset_selection=[dg.AssetKey("release_approval")],
        partition_key=VERSION,
        run_config=promotion_config(package),
        tags=promotion_tags(package),
    )


def exchange(shop: Any, package: ModelPackage) -> None:
    """Put a whole and valid artefact, but another one, in the place of a package's."""
    shop.publish(shop.settings.store_dir, "train-00000000000b", sharpness=-10.0)
    shop.tamper(package.model_key, shop.store.get("models/train-00000000000b/output/model.tar.gz"))


def test_an_approval_unpacks_the_model_once_and_reads_each_verdict_twice(
    shop: Any, command: Callable[..., Any], unpacked: list[str], read: list[str]
) -> None:
    """Once before the decision is recorded, and once before production follows it."""
    shop.candidate(VERSION)
    with shop.endpoints.hosting(log_file=shop.home / "host.log"):
        unpacked.clear()
        read.clear()
        done = command("approve", VERSION, "--reason", "good", "--by", "ann")
    assert done.exit_code == 0, done.output
    assert len(unpacked) == 1
    assert VERSION in unpacked[0]
    twice = dict.fromkeys(CHECKS, 2)
    warned = {"beats_champion": 3}  # and whether it was compared with anything
    assert {check: read.count(check) for check in read} == twice | warned


def test_an_artefact_that_was_exchanged_is_approved_and_not_deployed(
    shop: Any, command: Callable[..., Any], unpacked: list[str]
) -> None:
    package = shop.candidate(VERSION)
    exchange(shop, package)
    with shop.endpoints.hosting(log_file=shop.home / "host.log"):
        done = command("approve", VERSION, "--reason", "good", "--by", "ann")
        assert done.exit_code == 1, done.output
        output = " ".join(done.output.split())
        assert "production was not changed; the decision is recorded" in output
        assert f"registered is {package.digest[:12]}" in output
        assert shop.endpoints.describe("prod").status == "NotFound"
    assert len(unpacked) == 1
    assert shop.registry.get(VERSION).approval_status == "Approved"


def test_what_is_refused_by_its_records_is_not_unpacked(shop: Any, unpacked: list[str]) -> None:
    package = shop.approve(shop.candidate(VERSION))
    shop.judge(VERSION, "beats_champion", digest=package.digest, passed=False, reason="bad")
    for stage in ("prod_endpoint", "staging_endpoint"):
        assert "beats_champion failed: bad" in shop.run(stage, partition=VERSION).why
    assert unpacked == []


def test_a_recorded_decision_is_noted_in_the_graph_without_reading_its_checks_again(
    shop: Any, unpacked: list[str], read: list[str]
) -> None:
    package = shop.approve(shop.candidate(VERSION))
    read.clear()
    assert carried_out(shop, package).success
    assert (read, unpacked) == ([], [])


def test_what_was_evaluated_is_registered_and_what_lies_there_is_staged_only_if_it_is_that(
    shop: Any, unpacked: list[str]
) -> None:
    package = shop.candidate(VERSION, register=False)
    exchange(shop, package)
    assert shop.run("registered_package", partition=VERSION).success
    assert shop.registry.get(VERSION).digest == package.digest
    assert unpacked == []
    refused = shop.run("staging_endpoint", partition=VERSION)
    assert f"registered is {package.digest[:12]}" in refused.why
    assert len(unpacked) == 1
    assert shop.store.list("endpoints/staging") == []
