"""Dagster's own databases on a laptop, made before any of its programs runs."""

import shutil
from pathlib import Path

_FOLDERS = ("history", "schedules")
"""Where Dagster keeps its SQLite files in its home: runs and events, schedules and sensors."""


def create_run_databases(dagster_home: Path) -> None:
    """Make the databases of a new home.

    Dagster's programs each make those that they do not find. When two of them, such as the
    webserver and the daemon of a first ``imgclf up``, do so at once, one may find tables without a
    revision and note down an old one beside the other's; neither then ever starts again ("Version
    table 'alembic_version' has more than one head present"). So they are made apart, by one
    process, and moved into place whole.

    Does nothing where they are there already.

    Args:
        dagster_home: a folder. One whose ``dagster.yaml`` names another storage needs no databases.

    Raises:
        OSError: the home cannot be written.
        sqlalchemy.exc.OperationalError: the same, as SQLite says it.
    """
    if not _missing(dagster_home):
        return
    import dagster as dg
    from filelock import FileLock

    with FileLock(dagster_home / "databases.lock"):
        missing = _missing(dagster_home)
        if not missing:
            return
        made = dagster_home / "databases.part"
        shutil.rmtree(made, ignore_errors=True)  # of a process that was killed here
        made.mkdir()
        try:
            (made / "dagster.yaml").touch()  # Dagster warns of a home without one
            with dg.DagsterInstance.from_config(str(made)) as instance:
                _ = instance.run_storage, instance.event_log_storage, instance.schedule_storage
            for name in missing:
                (made / name).rename(dagster_home / name)
        finally:
            shutil.rmtree(made, ignore_errors=True)  # a disk that is full must not stay so by it


def _missing(dagster_home: Path) -> list[str]:
    return [name for name in _FOLDERS if not (dagster_home / name).exists()]
