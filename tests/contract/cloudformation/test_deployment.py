"""Dagster's instance as ``dagster-aws.yaml`` configures it, on a real Postgres."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.workspace.load import location_origins_from_yaml_paths

from imgclf_dagster.deployment import dagster_yaml
from tests.patience import WAIT_S
from tests.testbed.postgres import Postgres, running_postgres

pytestmark = pytest.mark.contract

LOCAL_PARTS = {
    "run_launcher": {"module": "dagster", "class": "DefaultRunLauncher", "config": {}},
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
        "config": {},
    },
}
"""In the place of what needs AWS."""

WRITERS = 4
EVENTS = 25


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Path:
    """DAGSTER_HOME as the image has it, and the variables of an empty database."""
    folder = tmp_path / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text(dagster_yaml("aws"))
    variables = {
        **postgres.database(),
        "DAGSTER_HOME": str(folder),
        "IMGCLF_AWS__BUCKET": "lake",
        "IMGCLF_COMPUTE_LOGS_PREFIX": "dagster/logs",
        "IMGCLF_RUN_TASK_DEFINITION": "imgclf-run",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def open_instance(home: Path) -> Iterator[Callable[[], dg.DagsterInstance]]:
    """``open_instance()``: another connection to the same instance; all are closed at the end."""
    opened: list[dg.DagsterInstance] = []

    def open_() -> dg.DagsterInstance:
        opened.append(
            dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=LOCAL_PARTS))
        )
        return opened[-1]

    yield open_
    for instance in opened:
        instance.dispose()


@dg.asset(partitions_def=dg.DynamicPartitionsDefinition(name="versions"))
def candidate(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(
        metadata={"version": context.partition_key, "odd": "§ ü 語 %s"},
        data_version=dg.DataVersion("d" * 64),
    )


@dg.asset_check(asset=candidate, blocking=True)
def is_sound() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@pytest.mark.parametrize("profile", ["local", "aws"])
def test_dagster_accepts_the_file(profile: str, tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(dagster_yaml(profile))
    configuration, _ = dagster_instance_config(str(tmp_path))
    assert configuration["telemetry"] == {"enabled": False}
    assert configuration["nux"] == {"enabled": False}
    assert configuration["run_monitoring"]["enabled"] is True


def test_runs_partitions_and_checks_are_kept(
    open_instance: Callable[[], dg.DagsterInstance],
) -> None:
    instance = open_instance()
    # SQLite failed at this (design/dagster.md): all keys in one statement.
    keys = [f"train-{number:012x}" for number in range(36_000)]
    instance.add_dynamic_partitions("versions", keys)
    result = dg.materialize([candidate, is_sound], instance=instance, partition_key=keys[7])
    assert result.success

    later = open_instance()
    assert len(later.get_dynamic_partitions("versions")) == len(keys)
    event = later.get_latest_materialization_event(candidate.key)
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.partition == keys[7]
    assert event.asset_materialization.metadata["odd"].value == "§ ü 語 %s"
    assert event.asset_materialization.tags["dagster/data_version"] == "d" * 64
    checks = later.event_log_storage.get_latest_asset_check_execution_by_key([is_sound.check_key])
    assert [record.status.name for record in checks.values()] == ["SUCCEEDED"]
    run = later.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.SUCCESS


def test_many_write_at_once(open_instance: Callable[[], dg.DagsterInstance]) -> None:
    instances = [open_instance() for _ in range(WRITERS)]

    def write(number: int) -> None:
        for event in range(EVENTS):
            key = dg.AssetKey(["stress", str(number)])
            instances[number].report_runless_asset_event(
                dg.AssetMaterialization(key, metadata={"event": event})
            )
            instances[number].add_dynamic_partitions("shared", [f"{event}"])

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    reader = open_instance()
    for number in range(WRITERS):
        key = dg.AssetKey(["stress", str(number)])
        records = reader.fetch_materializations(key, limit=10 * EVENTS).records
        facts = [r.asset_materialization.metadata["event"].value for r in records]
        assert facts == list(reversed(range(EVENTS))), "lost, doubled or out of order"
    assert sorted(map(int, reader.get_dynamic_partitions("shared"))) == list(range(EVENTS))


def test_a_run_outlives_a_restart_of_the_database(
    postgres: Postgres, open_instance: Callable[[], dg.DagsterInstance]
) -> None:
    started, restarted = threading.Event(), threading.Event()

    @dg.asset
    def slow() -> None:
        started.set()
        assert restarted.wait(WAIT_S)

    instance = open_instance()
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(dg.materialize, [slow], instance=instance, raise_on_error=False)
        assert started.wait(WAIT_S)
        postgres.stop()
        postgres.start()
        restarted.set()
        assert run.result(WAIT_S).success
    assert open_instance().get_latest_materialization_event(slow.key) is not None


def test_a_database_that_stays_away_is_named(
    postgres: Postgres,
    open_instance: Callable[[], dg.DagsterInstance],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As many tries as ever, but not 6 s of pauses between them.
    monkeypatch.setattr("dagster_postgres.utils.calculate_delay", lambda **_: 0.01)
    instance = open_instance()
    assert instance.get_runs_count() == 0
    postgres.stop()
    try:
        with pytest.raises(Exception, match="connection") as failure:
            instance.get_runs_count()
        assert f"port {postgres.port}" in repr(failure.value.__cause__ or failure.value)
    finally:
        postgres.start()
    assert instance.get_runs_count() == 0


def test_a_password_never_travels_in_the_clear(home: Path, postgres: Postgres) -> None:
    configuration = InstanceRef.from_dir(str(home)).storage_data.config_dict
    assert configuration["postgres_db"]["params"]["sslmode"] == "require"
    with postgres.connect(os.environ["DAGSTER_POSTGRES_DB"]) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (True,)


def test_a_variable_that_is_not_set_is_named(
    open_instance: Callable[[], dg.DagsterInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_POSTGRES_HOST")
    with pytest.raises(Exception, match="DAGSTER_POSTGRES_HOST"):
        open_instance()


def test_the_workspace_names_the_code_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGCLF_CODE_HOST", "code.imgclf.internal")
    path = str(files("imgclf_dagster.deployment") / "workspace-aws.yaml")
    origin = location_origins_from_yaml_paths([path])[0]
    assert (origin.host, origin.port) == ("code.imgclf.internal", 4000)
    assert origin.location_name == "imgclf"
