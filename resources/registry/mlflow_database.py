"""Model versions, runs and their tags in MLflow's own SQLite file, without MLflow.

``import mlflow`` takes two CPU seconds, most of the time of `imgclf status`. The tables are read and
written here only if they have the known columns; otherwise, for example with another version
of MLflow, its client is used.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_COLUMNS = {
    "model_versions": {"workspace", "name", "version", "creation_time", "current_stage"},
    "model_version_tags": {"workspace", "name", "version", "key", "value"},
    "runs": {"run_uuid", "status", "lifecycle_stage", "start_time"},
    "tags": {"key", "value", "run_uuid"},
}
_ONLY_THESE = "model_version_tags"
"""The table that is written to: an unknown column in it might be required."""

_WORKSPACE = "default"
_DELETED = "Deleted_Internal"
"""The stage of deleted versions, as in ``mlflow.entities.model_registry``."""

_WAIT_S = 60.0


@dataclass(frozen=True)
class TaggedVersion:
    """A version of a registered model, as MLflow's ``ModelVersion`` has it.

    Attributes:
        name: of the registered model.
        version: MLflow's number.
        creation_timestamp: milliseconds since the epoch.
        tags: by key.
    """

    name: str
    version: int
    creation_timestamp: int
    tags: Mapping[str, str]


def model_versions(database: Path, name: str) -> list[TaggedVersion] | None:
    """Read the versions of a registered model.

    Args:
        database: MLflow's SQLite file.
        name: of the registered model.

    Returns:
        The versions in any order; ``None`` if the tables have other columns or SQLite fails.
    """

    def read(connection: sqlite3.Connection) -> list[TaggedVersion]:
        tags: dict[int, dict[str, str]] = {}
        for version, key, value in connection.execute(
            "SELECT version, key, value FROM model_version_tags WHERE workspace = ? AND name = ?",
            (_WORKSPACE, name),
        ):
            tags.setdefault(version, {})[key] = value
        return [
            TaggedVersion(name, version, created, tags.get(version, {}))
            for version, created in connection.execute(
                "SELECT version, creation_time FROM model_versions "
                "WHERE workspace = ? AND name = ? AND current_stage != ?",
                (_WORKSPACE, name, _DELETED),
            )
        ]

    return _within(database, "BEGIN", read)


def finished_run(database: Path, tag: str, value: str) -> str | None:
    """Return the id of the finished run with a tag.

    Args:
        database: MLflow's SQLite file.
        tag: key of the tag.
        value: of the tag.

    Returns:
        The id; ``None`` without such a run, or if the tables have other columns or SQLite fails.
    """

    def read(connection: sqlite3.Connection) -> str | None:
        found = connection.execute(
            "SELECT run_uuid FROM runs JOIN tags USING (run_uuid) WHERE key = ? AND value = ? "
            "AND status = 'FINISHED' AND lifecycle_stage = 'active' ORDER BY start_time",
            (tag, value),
        ).fetchone()
        return str(found[0]) if found else None

    return _within(database, "BEGIN", read)


def set_tags(database: Path, version: TaggedVersion, tags: Iterable[tuple[str, str]]) -> bool:
    """Set tags of a version in one transaction.

    Args:
        database: MLflow's SQLite file.
        version: whose tags are set.
        tags: keys with values.

    Returns:
        Whether the tags were set; ``False`` if the tables have other columns, the version was
        deleted, or SQLite fails.
    """

    def write(connection: sqlite3.Connection) -> bool:
        there = connection.execute(
            "SELECT 1 FROM model_versions WHERE workspace = ? AND name = ? AND version = ?",
            (_WORKSPACE, version.name, version.version),
        ).fetchone()
        if there is None:  # deleted on MLflow's page meanwhile
            return False
        connection.executemany(
            "INSERT INTO model_version_tags (workspace, name, version, key, value) "
            "VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (workspace, key, name, version) DO UPDATE SET value = excluded.value",
            [(_WORKSPACE, version.name, version.version, key, value) for key, value in tags],
        )
        return True

    return _within(database, "BEGIN IMMEDIATE", write) or False


def _within(database: Path, begin: str, act: Callable[[sqlite3.Connection], T]) -> T | None:
    """Run ``act`` in one transaction and return its result; ``None`` if SQLite or the tables fail."""
    # Not read-only: after a crash, the first to open the file has to roll back the journal.
    address = f"{database.absolute().as_uri()}?mode=rw"
    try:
        with closing(
            sqlite3.connect(address, uri=True, timeout=_WAIT_S, isolation_level=None)
        ) as connection:
            connection.execute(begin)
            if not _is_known(connection):
                return None
            done = act(connection)
            connection.execute("COMMIT")
            return done
    except sqlite3.Error:  # MLflow's client will fail with the same error, and report it
        return None


def _is_known(connection: sqlite3.Connection) -> bool:
    for table, known in _COLUMNS.items():
        found = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if not known <= found or (table == _ONLY_THESE and found != known):
            return False
    return True
