"""Alembic's migration scripts, which Dagster and MLflow read at each opening of a database."""

from collections.abc import Callable

from alembic.config import Config
from alembic.script import ScriptDirectory

_DECIDES = ("script_location", "version_locations", "version_path_separator", "file_template")
"""The options of Alembic that select the scripts."""

_read: Callable[[Config], ScriptDirectory] = ScriptDirectory.from_config
_known: dict[tuple[str | None, ...], ScriptDirectory] = {}


def read_migrations_once() -> None:
    """Have Alembic read the scripts of each folder once in this process. Repeated calls do nothing."""
    # Each evaluation of a sensor opens Dagster's instance, and each run has a database of its own.
    # Reading some sixty scripts took 46 of the 74 ms of an instance, and half of the code server's
    # CPU time. The files belong to installed packages, so they do not change meanwhile.
    ScriptDirectory.from_config = _read_once  # type: ignore[method-assign]


def _read_once(config: Config) -> ScriptDirectory:
    key = tuple(config.get_main_option(name) for name in _DECIDES)
    if key not in _known:
        _known[key] = _read(config)
    return _known[key]
