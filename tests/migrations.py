"""Alembic's migration scripts, read once a process.

Dagster reads some sixty of them for every instance, also for one in memory (46 of its 74 ms), and
MLflow as many for every database that it opens (38 ms). They are files of the libraries' own, which
do not change meanwhile.
"""

from collections.abc import Callable

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

_DECIDES = ("script_location", "version_locations", "version_path_separator", "file_template")
"""The settings that say which scripts are read."""


def read_once(patched: pytest.MonkeyPatch) -> None:
    """Have Alembic read the scripts of a folder once, as long as ``patched`` holds."""
    known: dict[tuple[str | None, ...], ScriptDirectory] = {}
    read: Callable[[Config], ScriptDirectory] = ScriptDirectory.from_config

    def once(config: Config) -> ScriptDirectory:
        key = tuple(config.get_main_option(name) for name in _DECIDES)
        if key not in known:
            known[key] = read(config)
        return known[key]

    patched.setattr(ScriptDirectory, "from_config", once)
