"""Dagster's SQLite databases are asked by engines that are kept."""

import runpy
import shutil
import sys
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage

from imgclf_dagster.home import engines

pytestmark = pytest.mark.contract

STORAGES = (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The databases for which an engine is made, in a process that has made none."""
    found: list[str] = []

    def noted(url: str, **options: object) -> sqlalchemy.Engine:
        found.append(url)
        return sqlalchemy.create_engine(url, **options)

    for module in STORAGES:
        monkeypatch.setattr(module, "create_engine", noted)
    monkeypatch.setattr(engines, "create_engine", noted)
    engines._kept.cache_clear()
    return found


def ask(home: Path) -> str:
    """Open an instance and ask each of its databases, also a run's; return the run."""
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").touch()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run = instance.create_run_for_job(dg.GraphDefinition("empty").to_job())
        for _ in range(3):
            instance.report_engine_event("a database of its own", run)
            assert instance.get_asset_keys() == []
            assert instance.all_instigator_state() == []
        assert len(instance.all_logs(run.run_id)) == 3
        assert run.run_id in [known.run_id for known in instance.get_runs()]
    return run.run_id


def test_what_dagster_loads_makes_an_engine_a_database(made: list[str], tmp_path: Path) -> None:
    runpy.run_module("imgclf_dagster.definitions", run_name="loaded again")
    runs = {ask(tmp_path) for _ in range(2)}
    assert len(runs) == 2
    assert len(made) == len(set(made)) == 5  # runs, schedules, the index of events, each run's


def test_the_daemon_does_so_too(
    made: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["daemon", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("imgclf_dagster.daemon", run_name="__main__")
    assert ended.value.code == 0
    ask(tmp_path)
    assert len(made) == len(set(made)) == 4


def test_a_home_that_is_made_again_is_found_again(made: list[str], tmp_path: Path) -> None:
    engines.keep_engines()
    ask(tmp_path / "home")
    shutil.rmtree(tmp_path / "home")
    before = len(made)
    ask(tmp_path / "home")
    assert len(made) == before + 1, "only the new run's database is another"
