"""The automation conditions, as the daemon evaluates them; nothing is executed."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.declarative_automation.automation_condition_tester import (
    EvaluateAutomationConditionsResult,
)
from dagster._core.events import StepMaterializationData

from assets.line import MODEL_VERSIONS

pytestmark = pytest.mark.graph

CHECKS_OF = {
    "raw_images": ("images_readable",),
    "annotations": ("labels_known",),
    "dataset": ("no_label_conflicts", "no_split_leakage", "class_floor_met"),
    "trained_model": ("export_matches_training",),
    "evaluation_report": ("beats_champion", "no_slice_regression", "calibration_within_bound"),
    "staging_endpoint": ("staging_serves_digest", "staging_latency_within_budget"),
}


class Daemon:
    """Evaluates the conditions of the real definitions, tick by tick, over reported events."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.definitions = definitions
        self.instance = instance
        self.last: EvaluateAutomationConditionsResult | None = None

    def tick(self) -> dict[str, set[str | None]]:
        """What is requested: asset to its partitions (``None``: unpartitioned)."""
        self.last = dg.evaluate_automation_conditions(
            defs=self.definitions,
            instance=self.instance,
            cursor=self.last.cursor if self.last else None,
        )
        graph = self.definitions.get_repository_def().asset_graph
        found = {}
        for key in graph.get_all_asset_keys():
            if graph.get(key).automation_condition is None:
                continue
            if partitions := self.last.get_requested_partitions(key):
                found[key.to_user_string()] = partitions
        return found

    def happened(
        self,
        asset: str,
        version: str,
        *,
        partition: str | None = None,
        failing: tuple[str, ...] = (),
    ) -> None:
        """``asset`` was materialized and checked."""
        key = dg.AssetKey(asset)
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                key, partition=partition, tags={"dagster/data_version": version}
            )
        )
        for name in CHECKS_OF.get(asset, ()):
            self.instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(
                    asset_key=key,
                    check_name=name,
                    passed=name not in failing,
                    metadata={},
                    partition=partition,
                )
            )

    def up_to(self, *assets: str, version: str = "1") -> None:
        for asset in assets:
            self.happened(asset, version)


@pytest.fixture
def daemon(world: Any) -> Daemon:
    return Daemon(world.definitions, world.instance)


SOURCES = ("raw_images", "annotations")
LINE = (*SOURCES, "dataset", "trained_model", "evaluation_report")


def test_nothing_is_asked_for_before_there_is_an_input(daemon: Daemon) -> None:
    assert daemon.tick() == {}
    daemon.happened("raw_images", "1")
    assert daemon.tick() == {}  # annotations are missing


def test_the_line_follows_its_inputs_to_the_end(daemon: Daemon) -> None:
    daemon.tick()
    for done, follows in (
        (SOURCES, "dataset"),
        (("dataset",), "trained_model"),
        (("trained_model",), "evaluation_report"),
    ):
        daemon.up_to(*done)
        assert daemon.tick() == {follows: {None}}


def test_inputs_that_were_there_before_the_first_look_are_used(daemon: Daemon) -> None:
    daemon.up_to(*SOURCES)
    assert daemon.tick() == {"dataset": {None}}


def test_the_same_data_version_again_trains_nothing(daemon: Daemon) -> None:
    daemon.tick()
    daemon.up_to(*LINE)
    daemon.tick()
    daemon.up_to(*SOURCES, "dataset")
    assert daemon.tick() == {}
    daemon.happened("dataset", "2")
    assert daemon.tick() == {"trained_model": {None}}


def test_an_input_whose_check_fails_goes_no_further(daemon: Daemon) -> None:
    daemon.tick()
    daemon.up_to(*LINE)
    daemon.tick()
    daemon.happened("dataset", "2", failing=("class_floor_met",))
    assert daemon.tick() == {}
    daemon.happened("dataset", "3")
    assert daemon.tick() == {"trained_model": {None}}


def test_a_check_that_only_warns_does_not_stop_the_line(world: Any) -> None:
    world.add_classes(4)
    world.store.put("raw/notes.txt", b"no image")
    done = world.run("raw_images", "annotations")
    assert done.success
    assert (
        "1 of 13 objects"
        in world.verdict(
            f"raw_images/{done.metadata('raw_images')['content_version']}", "images_readable"
        ).reason
    )
    assert Daemon(world.definitions, world.instance).tick() == {"dataset": {None}}


def test_a_failure_is_not_asked_for_again_until_its_input_changes(daemon: Daemon) -> None:
    daemon.tick()
    daemon.up_to(*SOURCES)
    assert daemon.tick() == {"dataset": {None}}
    _fail(daemon, "dataset")
    assert [daemon.tick() for _ in range(3)] == [{}] * 3
    daemon.happened("raw_images", "2")
    assert daemon.tick() == {"dataset": {None}}


def test_a_new_model_version_is_registered_and_staged_once(daemon: Daemon) -> None:
    daemon.tick()
    daemon.up_to(*LINE)
    daemon.tick()
    daemon.instance.add_dynamic_partitions(MODEL_VERSIONS.name, ["train-1"])
    assert daemon.tick() == {"registered_package": {"train-1"}, "staging_endpoint": {"train-1"}}
    for asset in ("registered_package", "staging_endpoint"):
        daemon.happened(asset, "1", partition="train-1")
    assert daemon.tick() == {}
    daemon.instance.add_dynamic_partitions(MODEL_VERSIONS.name, ["train-2"])
    assert daemon.tick() == {"registered_package": {"train-2"}, "staging_endpoint": {"train-2"}}


def test_a_version_that_appeared_while_nobody_looked_is_registered(daemon: Daemon) -> None:
    daemon.instance.add_dynamic_partitions(MODEL_VERSIONS.name, ["train-1"])
    daemon.up_to(*LINE)
    assert daemon.tick()["registered_package"] == {"train-1"}


def test_a_version_that_failed_to_register_waits_for_a_person(daemon: Daemon) -> None:
    daemon.tick()
    daemon.up_to(*LINE)
    daemon.tick()
    daemon.instance.add_dynamic_partitions(MODEL_VERSIONS.name, ["train-1"])
    assert daemon.tick()["registered_package"] == {"train-1"}
    _fail(daemon, "registered_package", partition="train-1")
    assert [daemon.tick() for _ in range(3)] == [{}] * 3


def test_an_approval_promotes_its_version_alone_and_again_when_repeated(daemon: Daemon) -> None:
    versions = ["train-1", "train-2"]
    daemon.instance.add_dynamic_partitions(MODEL_VERSIONS.name, versions)
    daemon.up_to(*LINE)
    for version in versions:
        for asset in ("registered_package", "staging_endpoint"):
            daemon.happened(asset, "1", partition=version)
    assert "prod_endpoint" not in daemon.tick()
    daemon.happened("release_approval", "1", partition="train-2")
    assert daemon.tick() == {"prod_endpoint": {"train-2"}}
    daemon.happened("prod_endpoint", "1", partition="train-2")
    assert daemon.tick() == {}
    daemon.happened("release_approval", "2", partition="train-2")
    assert daemon.tick() == {"prod_endpoint": {"train-2"}}


@pytest.fixture
def staged(daemon: Daemon) -> Daemon:
    """Version train-1 is on staging, and the daemon has looked."""
    daemon.instance.add_dynamic_partitions(MODEL_VERSIONS.name, ["train-1"])
    daemon.up_to(*LINE)
    for asset in ("registered_package", "staging_endpoint"):
        daemon.happened(asset, "1", partition="train-1")
    assert daemon.tick() == {}
    return daemon


def _deploying(daemon: Daemon) -> Callable[[], None]:
    """A run that deploys train-1 and has looked at its approval; the answer ends it."""
    key = dg.AssetKey("prod_endpoint")
    job = daemon.definitions.get_repository_def().get_implicit_global_asset_job_def()
    run = daemon.instance.create_run_for_job(
        job_def=job.get_subset(asset_selection={key}),
        asset_selection=frozenset({key}),
        tags={"dagster/partition": "train-1"},
    )
    (record,) = daemon.instance.fetch_materializations(
        dg.AssetKey("release_approval"), limit=1
    ).records

    def report(event: str, data: Any = None) -> None:
        reported = dg.DagsterEvent(
            event_type_value=event, job_name=run.job_name, event_specific_data=data
        )
        daemon.instance.report_dagster_event(reported, run_id=run.run_id)

    def end() -> None:
        tags = {
            "dagster/data_version": "1",
            "dagster/input_event_pointer/release_approval": str(record.storage_id),
        }
        made = dg.AssetMaterialization(key, partition="train-1", tags=tags)
        report("ASSET_MATERIALIZATION", StepMaterializationData(made))
        report("PIPELINE_SUCCESS")

    report("PIPELINE_START")
    return end


def test_an_approval_during_a_deployment_is_carried_out_after_it(staged: Daemon) -> None:
    staged.happened("release_approval", "1", partition="train-1")
    assert staged.tick() == {"prod_endpoint": {"train-1"}}
    end = _deploying(staged)
    staged.tick()
    staged.happened("release_approval", "2", partition="train-1")
    assert staged.tick() == {}  # in progress
    end()
    assert staged.tick() == {"prod_endpoint": {"train-1"}}
    _deploying(staged)()
    assert staged.tick() == staged.tick() == {}


def test_an_approval_that_a_person_carried_out_is_not_carried_out_again(staged: Daemon) -> None:
    staged.happened("release_approval", "1", partition="train-1")
    _deploying(staged)()
    assert staged.tick() == staged.tick() == {}


def test_a_deployment_that_failed_is_not_tried_again_by_itself(staged: Daemon) -> None:
    staged.happened("release_approval", "1", partition="train-1")
    assert staged.tick() == {"prod_endpoint": {"train-1"}}
    _fail(staged, "prod_endpoint", partition="train-1")
    assert staged.tick() == staged.tick() == {}


def test_an_approval_of_before_the_first_look_deploys_nothing(staged: Daemon) -> None:
    staged.happened("release_approval", "1", partition="train-1")
    staged.last = None
    assert staged.tick() == staged.tick() == {}


def _fail(daemon: Daemon, asset: str, *, partition: str | None = None) -> None:
    """A real run of ``asset`` that fails: there is nothing in the store."""
    job = daemon.definitions.get_repository_def().get_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=daemon.instance,
        asset_selection=[dg.AssetKey(asset)],
        partition_key=partition,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    assert not result.success
