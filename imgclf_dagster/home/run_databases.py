"""Dagster's SQLite databases in the home, created before any of its programs starts."""

import shutil
from pathlib import Path

_FOLDERS = ("history", "schedules")
"""Folders of Dagster's SQLite files: runs and events, schedules and sensors."""


def create_run_databases(dagster_home: Path) -> None:
    """Create Dagster's databases in a new home; existing ones are left as they are.

    Args:
        dagster_home: an existing folder. If its ``dagster.yaml`` names another storage, it needs no
            databases.

    Raises:
        OSError: the home cannot be written.
        sqlalchemy.exc.OperationalError: SQLite cannot write the home.
    """
    # Each of Dagster's programs creates missing databases. If two do so at once (webserver and
    # daemon of a first `imgclf up`), one may find tables without a revision and record an old one
    # beside the other's; then neither starts again ("Version table 'alembic_version' has more than
    # one head present"). So one process makes them in another folder and moves them into place.
    if not _missing(dagster_home):
        return
    import dagster as dg
    from filelock import FileLock

    with FileLock(dagster_home / "databases.lock"):
        missing = _missing(dagster_home)
        if not missing:
            return
        made = dagster_home / "databases.part"
        shutil.rmtree(made, ignore_errors=True)  # left by a killed process
        made.mkdir()
        try:
            (made / "dagster.yaml").touch()  # Dagster warns of a home without one
            with dg.DagsterInstance.from_config(str(made)) as instance:
                _ = instance.run_storage, instance.event_log_storage, instance.schedule_storage
            for name in missing:
                (made / name).rename(dagster_home / name)
        finally:
            shutil.rmtree(made, ignore_errors=True)  # it must not go on filling a full disk


def _missing(dagster_home: Path) -> list[str]:
    return [name for name in _FOLDERS if not (dagster_home / name).exists()]
