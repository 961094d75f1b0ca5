"""The sensors: the outside world, looked at as it is."""

import os
import subprocess
import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import EngineEventData

from assets.annotations import annotations as labelling
from assets.annotations.label_index import labels_table, new_snapshots
from assets.ingestion import raw_images as ingestion
from assets.ingestion.image_index import images_table
from imgclf_dagster.runs import asking
from imgclf_dagster.runs.jobs import LINE
from imgclf_dagster.runs.orphans import PROCESS_TAG, process_tag, reap_orphaned_runs
from imgclf_dagster.sensors import arrival as sensors
from labelling.labels.events import Rename, event_key, to_json
from object_store.errors import StoreMissing

pytestmark = pytest.mark.graph

Look = Callable[[Any], list[dg.RunRequest]]


def look(world: Any, sensor: dg.SensorDefinition, *resources: str) -> list[dg.RunRequest]:
    given = {name: world.resource(name) for name in resources}
    with dg.build_sensor_context(instance=world.instance, resources=given) as context:
        found = sensor(context)
    return list(found.run_requests or []) if isinstance(found, dg.SensorResult) else []


def arrivals(world: Any) -> list[dg.RunRequest]:
    return look(world, sensors.raw_images_arrival_sensor, "store", "line", "arrivals")


def changes(world: Any) -> list[dg.RunRequest]:
    return look(world, sensors.annotations_change_sensor, "store", "line", "label_studio")


def decisions(world: Any) -> list[dg.RunRequest]:
    return look(world, sensors.registry_approval_sensor, "store", "registry", "endpoints")


def test_every_kind_of_arrival_is_noticed_once(world: Any, photo: Callable[..., bytes]) -> None:
    assert arrivals(world) == []
    keys = []
    path = world.store.local_path("raw/a.png")

    def noticed() -> None:
        (request,) = arrivals(world)
        assert [again.run_key for again in arrivals(world)] == [request.run_key]
        assert request.run_key not in keys, "Dagster would take it for the run it had already"
        keys.append(request.run_key)
        assert world.run("raw_images").success
        assert arrivals(world) == []

    world.add("a.png", photo(1))
    noticed()
    world.add("b.png", photo(2))  # in the same second as the one before
    noticed()
    world.tamper("raw/b.png", photo(3))
    noticed()
    path.rename(world.home / "a.png")
    noticed()
    (world.home / "a.png").rename(path)  # back as it was: key, time and etag are the first ones
    noticed()


@pytest.mark.parametrize("table", ["images", "labels"])
def test_a_damaged_table_is_made_again_by_its_asset(world: Any, table: str) -> None:
    world.add_classes(1)
    assert world.run("raw_images", "annotations").success
    look_again, asset = (arrivals, "raw_images") if table == "images" else (changes, "annotations")
    assert look_again(world) == []
    world.tamper(f"tables/{table}/0000000000-0000000000.parquet", b"")
    (request,) = look_again(world)
    assert [key.to_user_string() for key in request.asset_selection or ()] == [asset]
    assert world.run(asset).success
    assert look_again(world) == []


def test_a_damaged_notice_makes_the_run_list_everything(
    world: Any, photo: Callable[..., bytes]
) -> None:
    world.add("a.png", photo(1))
    world.store.put("arrivals/0000000000001-0000000000000000.json", b"")
    config = {"ops": {"raw_images": {"config": {"noticed_only": True}}}}
    done = world.run("raw_images", config=config)
    assert done.success, done.why
    assert done.metadata("raw_images")["looked_at"] == "everything"
    assert done.metadata("raw_images")["images"] == 1
    assert world.store.list("arrivals") == []


def test_a_store_that_is_gone_is_an_error_and_no_deletion(
    world: Any, photo: Callable[..., bytes]
) -> None:
    world.add("a.png", photo(1))
    assert world.run("raw_images").success
    world.settings.store_dir.rename(world.home / "unmounted")
    for look_again in (arrivals, changes):
        with pytest.raises(StoreMissing):
            look_again(world)
    world.settings.store_dir.mkdir()  # an empty mount point
    for look_again in (arrivals, changes):
        with pytest.raises(StoreMissing):
            look_again(world)


def test_a_failed_run_is_asked_for_again_ever_more_seldom(
    world: Any, photo: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add("a.png", photo(1))
    (request,) = arrivals(world)
    keys = {request.run_key}
    for pause in (60, 120, 240):
        run = dg.DagsterRun(
            job_name="__ASSET_JOB", tags=request.tags, status=dg.DagsterRunStatus.STARTED
        )
        world.instance.add_run(run)
        world.instance.report_run_failed(run, "disk full")
        failed = time.time()
        for seconds, asked in ((0, 0), (pause - 5, 0), (pause + 5, 1)):
            with monkeypatch.context() as patch:
                patch.setattr(
                    asking, "time", SimpleNamespace(time=partial(float, failed + seconds))
                )
                found = arrivals(world)
            assert len(found) == asked
        keys.add(found[0].run_key)
    assert len(keys) == 4


def test_nothing_is_asked_for_while_a_run_is_at_it(world: Any, photo: Callable[..., bytes]) -> None:
    world.add("a.png", photo(1))
    running = dg.DagsterRun(job_name=LINE, status=dg.DagsterRunStatus.STARTED, tags=process_tag())
    world.instance.add_run(running)
    assert arrivals(world) == []
    world.instance.report_run_canceled(running)
    assert len(arrivals(world)) == 1
    killed = dg.DagsterRun(
        job_name=LINE, status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: "host:1:1.0"}
    )
    world.instance.add_run(killed)
    assert len(arrivals(world)) == 1
    assert world.instance.get_run_by_id(killed.run_id).status is dg.DagsterRunStatus.FAILURE


def test_a_run_of_another_machine_is_left_to_it(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several machines share an instance on Postgres; on a laptop a host name merely changes."""
    elsewhere = dg.DagsterRun(
        job_name=LINE, status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: "other:1:1.0"}
    )
    world.instance.add_run(elsewhere)
    with monkeypatch.context() as patch:
        patch.setattr(
            type(world.instance.run_storage), "__module__", "dagster_postgres.run_storage"
        )
        assert reap_orphaned_runs(world.instance) == []
    assert reap_orphaned_runs(world.instance) == [elsewhere.run_id]


def test_a_run_whose_process_was_killed_with_its_code_server_blocks_nothing(world: Any) -> None:
    """Dagster itself notices only while the code server that started the run goes on."""

    def launched(pid: int) -> dg.DagsterRun:
        run = dg.DagsterRun(
            job_name=LINE,
            status=dg.DagsterRunStatus.STARTED,
            tags={".dagster/grpc_info": "{}"},
        )
        world.instance.add_run(run)
        world.instance.report_engine_event(
            f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid)
        )
        return run

    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    killed, running = launched(ended.pid), launched(os.getpid())
    assert reap_orphaned_runs(world.instance) == [killed.run_id]
    assert world.instance.get_run_by_id(running.run_id).status is dg.DagsterRunStatus.STARTED


def test_what_a_killed_run_indexed_and_told_nobody_of_is_asked_for_again(
    world: Any, photo: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> str:
        raise RuntimeError("as if killed")

    for number in range(2):  # of a home without and with former runs
        image = world.add(f"{number}.png", photo(number), "red")
        assert arrivals(world)
        assert changes(world)
        with monkeypatch.context() as patch:
            patch.setattr(ingestion, "images_version", killed)
            patch.setattr(labelling, "labels_version", killed)
            for asset in ("raw_images", "annotations"):
                assert not world.run(asset).success
        assert image in images_table(world.store).read(["sha256"])["sha256"].to_pylist()
        assert new_snapshots(world.store, labels_table(world.store)) == []
        assert arrivals(world)
        assert changes(world)
        assert world.run("raw_images", "annotations").success
        assert arrivals(world) == []
        assert changes(world) == []


def test_new_snapshots_and_a_new_schema_are_noticed(world: Any) -> None:
    assert changes(world) == []
    world.label("a" * 64, "dog")
    (first,) = changes(world)
    assert world.run("annotations").success
    assert changes(world) == []
    world.label("a" * 64, "cat", at=world.later())
    (second,) = changes(world)
    assert second.run_key != first.run_key
    assert world.run("annotations").success
    other = world.with_settings(labels={"names": ["cat"]})
    (third,) = changes(other)
    other.run("annotations")
    assert changes(other) == []
    assert third.run_key != second.run_key


def test_an_approval_is_carried_over_once_with_approver_and_digest(shop: Any) -> None:
    package = shop.candidate("train-1")
    shop.candidate("train-2")
    assert decisions(shop) == []
    shop.approve(package, by="ann")
    (request,) = decisions(shop)
    assert request.partition_key == "train-1"
    assert request.asset_selection == [dg.AssetKey("release_approval")]
    config = request.run_config["ops"]["release_approval"]["config"]
    assert config == {"approved_by": "ann", "reason": "good", "digest": package.digest}
    assert shop.run("release_approval", partition="train-1", config=request.run_config).success
    assert decisions(shop) == []
    shop.reject(package)
    shop.approve(package, by="cat")
    (again,) = decisions(shop)
    assert again.run_key != request.run_key


def test_an_approval_by_nobody_waits_for_a_name(shop: Any) -> None:
    """As it comes from MLflow's own page, where a tag is all that can be set."""
    package = shop.candidate("train-1")
    client = shop.registry._client()
    tag = ("imgclf", package.registry_version)
    client.set_model_version_tag(*tag, "approval_status", "Approved")
    assert decisions(shop) == []
    client.set_model_version_tag(*tag, "approver", "dan")
    (request,) = decisions(shop)
    assert request.run_config["ops"]["release_approval"]["config"]["approved_by"] == "dan"


def test_a_rejection_in_production_asks_for_the_version_before(
    shop: Any, deployed: Callable[..., Any]
) -> None:
    packages = [shop.candidate(f"train-{number}") for number in (1, 2, 3)]
    for package in packages:
        deployed(shop, shop.approve(package))
        done = shop.run(
            "release_approval",
            partition=package.model_version,
            config=approval(package),
        )
        assert done.success, done.why
    assert decisions(shop) == []
    shop.reject(packages[1])  # not in production: nothing happens
    assert decisions(shop) == []
    shop.reject(packages[2], by="bob")
    (request,) = decisions(shop)
    assert request.partition_key == "train-1"  # train-2 was rejected
    assert request.asset_selection == [dg.AssetKey("prod_endpoint")]
    config = request.run_config["ops"]["prod_endpoint"]["config"]
    assert config == {"deployed_by": "bob", "reason": "train-3 was rejected: bad"}
    assert [again.run_key for again in decisions(shop)] == [request.run_key]
    shop.reject(packages[0])
    assert decisions(shop) == []  # nothing approved is left to return to


def approval(package: Any) -> dict[str, Any]:
    given = {"approved_by": "ann", "reason": "good", "digest": package.digest}
    return {"ops": {"release_approval": {"config": given}}}


def test_a_class_that_is_renamed_asks_for_the_labels_once(world: Any) -> None:
    world.label("a" * 64, "dog")
    world.run("annotations")
    assert changes(world) == []
    event = Rename(at=world.later(), by="me", old=("dog",), new="hound")
    world.store.put(event_key(event), to_json(event))
    (request,) = changes(world)
    assert [again.run_key for again in changes(world)] == [request.run_key]
    world.run("annotations")
    assert changes(world) == []
