"""What Dagster does again for every run and every instance in memory, done once.

The two SQLite databases of an instance in memory are copied from one that has the tables (2 instead
of 19 ms), and asked over the connection that keeps them in memory: Dagster opens another for each
question, which takes longer than most answers. The part of a job that a run selects is kept with the
job, and so are its snapshots: Dagster makes three for each run in a test's process, which is a
quarter of a run's time. A tick of automation asks for the partitions once, as the daemon's do, and
not for each asset; and which tables a storage has is looked up once.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import dagster as dg
import pytest
import sqlalchemy
from alembic.config import Config
from dagster._core.definitions.declarative_automation import automation_condition_tester as ticks
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.instance.types import CachingDynamicPartitionsLoader
from dagster._core.storage.event_log import in_memory as event_logs
from dagster._core.storage.runs import in_memory as runs
from sqlalchemy.engine import Connection

_THREAD = "thread of the tests"
_DERIVED, _EPHEMERAL, _LOCK = "_derived_in_tests", "ephemeral", "_lock_in_tests"
_TABLES = "_tables_in_tests"
_ASSETS = {"asset_selection"}


def spare(patched: pytest.MonkeyPatch) -> None:
    """Do without what is done again, as long as ``patched`` holds."""
    job = dg.JobDefinition
    patched.setattr(job, "get_subset", _subset_once(job.get_subset))
    patched.setattr(job, "as_ephemeral_job", _ephemeral_once(job.as_ephemeral_job))
    for module, metadata in (
        (event_logs, "SqlEventLogStorageMetadata"),
        (runs, "RunStorageSqlMetadata"),
    ):
        tables = _Tables(getattr(module, metadata), module.stamp_alembic_rev)
        patched.setattr(module, metadata, tables)
        patched.setattr(module, "stamp_alembic_rev", tables.stamp)
    for storage, name in (
        (event_logs.InMemoryEventLogStorage, "_connect"),
        (runs.InMemoryRunStorage, "connect"),
    ):
        patched.setattr(storage, name, _over_one_connection(getattr(storage, name)))
    storage = event_logs.InMemoryEventLogStorage
    patched.setattr(storage, "has_table", _found_once(storage.has_table))
    patched.setattr(ticks, "partition_loading_context", _loading_once)


def copied(instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """Another instance in memory that knows what ``instance``, one in memory, knows now."""
    other = dg.DagsterInstance.ephemeral()
    for before, after in (
        (instance.run_storage, other.run_storage),
        (instance.event_log_storage, other.event_log_storage),
    ):
        assert isinstance(before, runs.InMemoryRunStorage | event_logs.InMemoryEventLogStorage)
        assert isinstance(after, type(before))
        _driver(before._held_conn).backup(_driver(after._held_conn))
        if isinstance(before, event_logs.InMemoryEventLogStorage):
            after._storage_id = before._storage_id
    return other


def _subset_once(subset: Callable[..., dg.JobDefinition]) -> Callable[..., dg.JobDefinition]:
    """``JobDefinition.get_subset``, once for each selection; a part is its own part."""

    def get_subset(job: dg.JobDefinition, **selection: Any) -> dg.JobDefinition:
        assets = selection.get("asset_selection")
        if not assets or any(selection[name] is not None for name in selection.keys() - _ASSETS):
            return subset(job, **selection)
        if job.asset_selection == assets and job.asset_check_selection is None:
            return job
        made: dict[Any, dg.JobDefinition] = vars(job).setdefault(_DERIVED, {})
        key = frozenset(assets)
        if key not in made:
            made[key] = subset(job, **selection)
        return made[key]

    return get_subset


def _ephemeral_once(ephemeral: Callable[..., dg.JobDefinition]) -> Callable[..., dg.JobDefinition]:
    """``JobDefinition.as_ephemeral_job``, once a job; what is selected is a part of that."""

    def as_ephemeral_job(job: dg.JobDefinition, **given: Any) -> dg.JobDefinition:
        if any(given[name] for name in given.keys() - _ASSETS):
            return ephemeral(job, **given)
        made: dict[Any, dg.JobDefinition] = vars(job).setdefault(_DERIVED, {})
        if _EPHEMERAL not in made:
            made[_EPHEMERAL] = ephemeral(job, **{**given, "asset_selection": None})
        return made[_EPHEMERAL].get_subset(
            asset_selection=frozenset(given["asset_selection"] or ())
        )

    return as_ephemeral_job


class _Tables:
    """The tables of one storage, created once and then copied."""

    def __init__(
        self, metadata: sqlalchemy.MetaData, stamp: Callable[[Config, Connection], None]
    ) -> None:
        self._metadata, self._stamp = metadata, stamp
        self._made: sqlite3.Connection | None = None

    def create_all(self, connection: Connection) -> None:
        """Create the tables in an empty database, as ``MetaData.create_all`` does."""
        connection.info[_THREAD] = threading.get_ident()
        connection.exec_driver_sql("PRAGMA foreign_keys=ON").close()
        if self._made is None:
            self._metadata.create_all(connection)
        else:
            self._made.backup(_driver(connection))

    def stamp(self, config: Config, connection: Connection) -> None:
        """Record the revision of the tables, as ``stamp_alembic_rev`` does."""
        if self._made is not None:
            return  # it was copied with them
        self._stamp(config, connection)
        engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool)
        with engine.begin() as once:
            self._metadata.create_all(once)
            self._stamp(config, once)
        with engine.connect() as kept:
            self._made = _driver(kept)


def _driver(connection: Connection) -> sqlite3.Connection:
    found: Any = connection.connection.driver_connection
    assert isinstance(found, sqlite3.Connection)
    return found


def _over_one_connection(
    anew: Callable[[Any], AbstractContextManager[Connection]],
) -> Callable[[Any], AbstractContextManager[Connection]]:
    """A storage's ``connect`` that lends the connection which the storage holds.

    ``anew``, the storage's own, serves other threads (a connection of SQLite's belongs to one), and
    who asks inside a transaction.
    """

    @contextmanager
    def connect(storage: Any) -> Iterator[Connection]:
        held: Connection = storage._held_conn
        # Of the runs' storage alone Dagster lets threads ask at once, and then a write fails where
        # another thread reads: tables in a shared cache are locked without a wait.
        lock = vars(storage).setdefault(_LOCK, threading.RLock())
        with lock if isinstance(storage, runs.InMemoryRunStorage) else nullcontext():
            if held.info[_THREAD] != threading.get_ident() or held.in_transaction():
                with anew(storage) as connection:
                    yield connection
                return
            with getattr(storage, "_db_lock", nullcontext()), held.begin():
                yield held

    return connect


def _found_once(has_table: Callable[[Any, str], bool]) -> Callable[[Any, str], bool]:
    """A storage's ``has_table`` that remembers the tables which it found: none ever goes."""

    def has_table_found_before(storage: Any, name: str) -> bool:
        found: set[str] = vars(storage).setdefault(_TABLES, set())
        if name not in found and has_table(storage, name):
            found.add(name)
        return name in found

    return has_table_found_before


def _loading_once(**given: Any) -> AbstractContextManager[Any]:
    """``partition_loading_context`` that reads an instance's partitions once, as the daemon does."""
    instance = given.get("dynamic_partitions_store")
    if instance is not None:
        given["dynamic_partitions_store"] = CachingDynamicPartitionsLoader(instance)
    return partition_loading_context(**given)
