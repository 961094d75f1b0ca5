"""``imgclf status``: runs that are under way, were killed or failed, and what they make."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from imgclf_dagster.processes.supervisor import single_instance
from imgclf_dagster.runs.orphans import process_tag, reap_orphaned_runs
from imgclf_dagster.status.next_step import next_command
from object_store.store import ObjectStore
from tests.graph.imgclf_dagster.status.shown_status import materialized, shown, status

pytestmark = pytest.mark.graph


def test_a_run_under_way_is_shown_with_what_it_does(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_classes(2)
    get, seen = ObjectStore.get, []

    def looked_at(self: ObjectStore, key: str) -> bytes:
        if key.startswith("raw/") and not seen:
            seen.append({})
            seen[0] = status(world)
        return get(self, key)

    monkeypatch.setattr(ObjectStore, "get", looked_at)
    world.run("raw_images")
    (facts,) = seen
    (run,) = facts["runs"]
    assert (run["makes"], run["status"], run["step"]) == (["raw_images"], "started", "raw_images")
    assert run["said"] == "6 new or changed objects, 0 gone"
    assert run["since"] <= run["step_since"] <= datetime.now(UTC).isoformat()
    assert facts["next"] == "wait: a run is under way"
    for text in ("makes raw_images", "at raw_images since", run["said"]):
        assert text in shown(facts)
    assert status(world)["runs"] == []


def under_way(world: Any, *assets: str) -> str:
    """A run of a live process that is still to make ``assets``; its short id."""
    job = world.definitions.get_repository_def().get_implicit_global_asset_job_def()
    run = world.instance.create_run_for_job(
        job,
        asset_selection=frozenset(map(dg.AssetKey, assets)),
        status=dg.DagsterRunStatus.STARTED,
        tags=process_tag(),
    )
    return str(run.run_id[:8])


def test_what_a_run_under_way_makes_is_not_said_to_need_a_command(
    world: Any, photo: Callable[..., bytes]
) -> None:
    world.add_classes(4)
    lenient = world.with_settings(gates={"min_train_images_per_class": 1})
    lenient.run("raw_images", "annotations", "dataset")
    version = status(lenient)["dataset"]["version"]
    training = under_way(lenient, "trained_model")
    assert status(lenient)["waiting"] == [
        f"data set {version} is being trained on (run {training})"
    ]
    materialized(lenient, "trained_model", model_version="train-1", dataset_version="other")
    after = f"imgclf run, once run {training} has ended"
    assert status(lenient)["waiting"][-1] == f"train-1 is not evaluated yet ({after})"
    materialized(lenient, "trained_model", model_version="train-2", dataset_version=version)
    evaluating = under_way(lenient, "evaluation_report")
    assert f"train-2 is being evaluated (run {evaluating})" in status(lenient)["waiting"]
    lenient.instance.delete_run(
        next(run.run_id for run in lenient.instance.get_runs() if run.run_id.startswith(training))
    )
    assert status(lenient)["waiting"] == [f"train-2 is being evaluated (run {evaluating})"]
    lenient.add("red/late.png", photo(99), "red", at=lenient.later())
    lenient.run("raw_images", "annotations")
    making = under_way(lenient, "dataset")
    assert (
        f"images or labels are newer than the data set: run {making} makes a new one"
        in status(lenient)["waiting"]
    )


def test_a_run_of_the_whole_line_makes_all_its_assets(world: Any) -> None:
    """`imgclf run` names a job and no assets."""
    materialized(world, "dataset", dataset_version="v1", images=1, classes=1)
    materialized(world, "trained_model", model_version="train-1", dataset_version="v1")
    job = world.definitions.get_repository_def().get_job("line")
    run = world.instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.STARTED, tags=process_tag()
    )
    facts = status(world)
    assert {"raw_images", "dataset", "trained_model", "evaluation_report"} <= {
        *facts["runs"][0]["makes"]
    }
    assert facts["waiting"] == [f"train-1 is not evaluated yet: wait for run {run.run_id[:8]}"]
    assert f"run {run.run_id[:8]} of the job line (started, since 20" in shown(facts)


def test_a_killed_run_needs_nothing_mended_and_is_made_good_by_the_next(world: Any) -> None:
    job = world.definitions.get_repository_def().get_job("line")

    def line(status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
        run: dg.DagsterRun = world.instance.create_run_for_job(job, status=status, tags=tags)
        return run

    tags = {"imgclf/process": process_tag()["imgclf/process"] + "0"}  # a later process's mark
    line(dg.DagsterRunStatus.SUCCESS)
    line(dg.DagsterRunStatus.STARTED, **tags)
    there = {"images": {"usable": 9, "not_indexed": 0}, "labels": {"labelled": 9, "not_indexed": 0}}
    for _ in range(2):  # as it was left, and as the next command marks it
        facts = status(world)
        assert [(item["what"], item["interrupted"]) for item in facts["refused"]] == [
            ("line", True)
        ]
        assert next_command(facts | there, is_up=False) == "imgclf run"
        reap_orphaned_runs(world.instance)
    line(dg.DagsterRunStatus.SUCCESS)
    assert status(world)["refused"] == []


def test_what_arrived_is_taken_in_by_a_run_or_by_up(
    world: Any, photo: Callable[..., bytes]
) -> None:
    world.add("a.png", photo(1))
    assert status(world)["waiting"] == ["1 object waits for the line (imgclf run, or imgclf up)"]
    with single_instance(world.settings.run_dir):
        facts = status(world)
    assert facts["waiting"] == ["1 object waits for the line (imgclf up takes it in)"]
    run = under_way(world, "raw_images")
    assert status(world)["waiting"] == [f"1 object waits for the line (run {run} takes it in)"]


def test_a_run_whose_process_is_gone_is_not_under_way(world: Any) -> None:
    job = world.definitions.get_repository_def().get_implicit_global_asset_job_def()
    run = world.instance.create_run_for_job(
        job,
        asset_selection=frozenset({dg.AssetKey("dataset")}),
        status=dg.DagsterRunStatus.STARTED,
        tags={"imgclf/process": process_tag()["imgclf/process"] + "0"},
    )
    facts = status(world)
    assert facts["runs"] == []
    (refused,) = facts["refused"]
    assert (refused["kind"], refused["run_id"], refused["what"]) == ("run", run.run_id, "dataset")
    assert "is gone" in refused["why"]


def test_the_last_failed_run_is_told_until_it_is_made_good(world: Any) -> None:
    assert not world.run("annotations", "dataset").success
    (refused,) = status(world)["refused"]
    assert (refused["kind"], refused["what"]) == ("run", "dataset")
    assert "imgclf ingest" in refused["why"]
    facts = status(world)
    assert f"last run that failed: dataset, {refused['at'][:10]}" in shown(facts)
    there = {"images": {"usable": 9, "not_indexed": 0}, "labels": {"labelled": 9, "not_indexed": 0}}
    output = next_command(facts | there | {"blocking": []}, is_up=False)
    assert output == "mend what stopped the last run of dataset (above), then imgclf run"
    search = {"refused": [{**refused, "what": "hyperparameters"}], "waiting": ["imgclf approve"]}
    staged = {"candidate": {"approval_status": "Pending"}, "staging": {"model_version": "train-1"}}
    output = next_command(facts | there | search | staged | {"blocking": []}, is_up=False)
    assert output.startswith("imgclf approve train-1"), "a search holds up nothing"
    world.add_classes(2)
    world.run("raw_images", "annotations", "dataset")
    assert status(world)["refused"] == []
