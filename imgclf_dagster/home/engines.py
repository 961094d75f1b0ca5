"""SQLAlchemy's engines for Dagster's SQLite databases, kept from one query to the next."""

from functools import lru_cache
from typing import Any

from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from sqlalchemy import Engine, create_engine

_KEPT = 64
"""Number of engines kept; each run has a database of its own."""


def keep_engines() -> None:
    """Have Dagster use one engine a database in this process. Repeated calls do nothing."""
    # Dagster makes an engine for each query. A new engine has compiled no statement yet: making
    # engines and compiling took half of the daemon's CPU time, a fifth of the code server's. They
    # have no pool (NullPool), so that each query still has a connection of its own.
    for module in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        module.create_engine = _engine  # type: ignore[attr-defined]


def _engine(url: str, *, connect_args: dict[str, Any] | None = None, **options: Any) -> Engine:
    return _kept(url, tuple(sorted((connect_args or {}).items())), **options)


@lru_cache(maxsize=_KEPT)
def _kept(url: str, connect_args: tuple[tuple[str, Any], ...], **options: Any) -> Engine:
    return create_engine(url, connect_args=dict(connect_args), **options)
