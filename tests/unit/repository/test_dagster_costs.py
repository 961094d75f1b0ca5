"""Instances of Dagster and jobs in tests (``tests.dagster_costs``) are as Dagster makes them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.runs import in_memory
from dagster._core.storage.runs.schema import RunStorageSqlMetadata

from tests import dagster_costs


@dg.asset
def fruit() -> None:
    """An asset."""


@dg.asset(deps=[fruit])
def jam() -> None:
    """Another."""


@pytest.fixture
def job() -> dg.JobDefinition:
    """All of two assets."""
    return dg.Definitions([fruit, jam]).resolve_implicit_global_asset_job_def()


@pytest.fixture
def instances() -> Iterator[list[dg.DagsterInstance]]:
    """Two made by themselves, the first of which may be the one that is copied."""
    with pytest.MonkeyPatch.context() as patched:
        dagster_costs.spare(patched)
        yield [dg.DagsterInstance.ephemeral() for _ in range(2)]


def tables(connection: sqlalchemy.Connection) -> dict[str, str]:
    """What a database is made of: SQL by name."""
    found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master")
    return {name: sql for name, sql in found if "alembic" not in name}


def test_the_tables_are_those_that_dagster_makes(instances: list[dg.DagsterInstance]) -> None:
    for instance in instances:
        for storage, metadata in (
            (instance.run_storage, RunStorageSqlMetadata),
            (instance.event_log_storage, SqlEventLogStorageMetadata),
        ):
            held = storage._held_conn  # type: ignore[attr-defined]
            with sqlalchemy.create_engine("sqlite://").begin() as made:
                metadata.create_all(made)
                assert tables(held) == tables(made)
            revision = held.exec_driver_sql("SELECT version_num FROM alembic_version").scalars()
            assert len(revision.all()) == 1


def test_one_instance_knows_nothing_of_another(instances: list[dg.DagsterInstance]) -> None:
    first, second = instances
    first.add_dynamic_partitions("fruits", ["apple"])
    first.report_runless_asset_event(dg.AssetMaterialization("fruit"))
    assert first.get_dynamic_partitions("fruits") == ["apple"]
    assert second.get_dynamic_partitions("fruits") == []
    assert second.get_latest_materialization_event(dg.AssetKey("fruit")) is None


def test_a_copy_knows_the_same_and_goes_its_own_way(instances: list[dg.DagsterInstance]) -> None:
    first, _ = instances
    first.add_dynamic_partitions("fruits", ["apple"])
    first.report_runless_asset_event(dg.AssetMaterialization("fruit"))
    other = dagster_costs.copied(first)
    other.add_dynamic_partitions("fruits", ["pear"])
    other.report_runless_asset_event(dg.AssetMaterialization("jam"))
    assert other.get_dynamic_partitions("fruits") == ["apple", "pear"]
    assert first.get_dynamic_partitions("fruits") == ["apple"]
    assert other.get_latest_materialization_event(dg.AssetKey("fruit")) is not None
    assert first.get_latest_materialization_event(dg.AssetKey("jam")) is None


def test_other_threads_ask_and_write_too(instances: list[dg.DagsterInstance]) -> None:
    _, instance = instances
    thread = threading.Thread(target=instance.add_dynamic_partitions, args=("fruits", ["apple"]))
    thread.start()
    thread.join()
    assert instance.get_dynamic_partitions("fruits") == ["apple"]


def fail(_: object) -> None:
    raise ZeroDivisionError


def test_what_fails_is_not_written_and_holds_nothing_up(
    instances: list[dg.DagsterInstance],
) -> None:
    _, instance = instances
    storage = instance.run_storage
    assert isinstance(storage, in_memory.InMemoryRunStorage)
    table = in_memory.InstanceInfo
    with pytest.raises(ZeroDivisionError), storage.connect() as connection:
        fail(connection.execute(table.insert().values(run_storage_id="wrong")))
    with storage.connect() as outer, storage.connect() as inner:
        assert outer is not inner
        assert inner.execute(table.select()).all() == []


def test_a_run_selects_what_it_is_told_to(job: dg.JobDefinition) -> None:
    for names in (["jam"], ["fruit"], ["jam"], ["fruit", "jam"]):
        keys = [dg.AssetKey(name) for name in names]
        run = job.execute_in_process(asset_selection=keys, instance=dg.DagsterInstance.ephemeral())
        made = [event.asset_key for event in run.get_asset_materialization_events()]
        assert made == keys
        assert run.dagster_run.asset_selection == frozenset(keys)
    whole = job.execute_in_process()
    assert len(whole.get_asset_materialization_events()) == 2


def test_checks_alone_are_no_assets() -> None:
    @dg.asset_check(asset=fruit)
    def sweet() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    definitions = dg.Definitions([fruit], asset_checks=[sweet])
    job = definitions.resolve_implicit_global_asset_job_def()
    key = dg.AssetKey("fruit")
    both = job.execute_in_process(asset_selection=[key])
    alone = job.get_subset(asset_selection={key}, asset_check_selection=set())
    assert len(both.get_asset_check_evaluations()) == 1
    assert alone.execute_in_process().get_asset_check_evaluations() == []


def test_a_thread_that_reads_runs_stops_no_other_that_writes_them(job: dg.JobDefinition) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(job)
        over, failed = threading.Event(), []

        def read() -> None:
            while not over.is_set():
                try:
                    instance.get_runs()
                except Exception as error:
                    failed.append(error)

        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            try:
                for number in range(150):
                    instance.add_run_tags(run.run_id, {"n": str(number)})
            finally:
                over.set()
            for reader in readers:
                reader.result()
        assert failed == []
        assert instance.get_run_by_id(run.run_id).tags["n"] == "149"


def test_a_table_that_comes_later_is_found(instances: list[dg.DagsterInstance]) -> None:
    storage = instances[0].event_log_storage
    held = storage._held_conn  # type: ignore[attr-defined]
    for known in (False, True):
        assert storage.has_table("jars") is known  # type: ignore[attr-defined]
        held.exec_driver_sql("CREATE TABLE IF NOT EXISTS jars (id)")
    assert not instances[1].event_log_storage.has_table("jars")  # type: ignore[attr-defined]


def test_a_tick_sees_partitions_that_came_after_the_one_before(
    instances: list[dg.DagsterInstance],
) -> None:
    jars = dg.DynamicPartitionsDefinition(name="jars")
    condition = dg.AutomationCondition.missing().newly_true()

    @dg.asset(partitions_def=jars, automation_condition=condition)
    def filled() -> None: ...

    instance, cursor = instances[0], None
    for number in range(2):
        instance.add_dynamic_partitions("jars", [f"jar {number}"])
        found = dg.evaluate_automation_conditions([filled], instance, cursor=cursor)
        assert found.get_requested_partitions(filled.key) == {f"jar {number}"}
        cursor = found.cursor
    again = dg.evaluate_automation_conditions([filled], instance, cursor=cursor)
    assert again.total_requested == 0  # the cursor has both
