"""Checks of the home's own files: databases, and the address files of running programs."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from imgclf_dagster.settings.root import Settings
from imgclf_dagster.store_doctor.examine import Trouble

_REGISTRY = (
    "restore it from a backup; without one, move it away (`imgclf run` makes an empty one, in which "
    "the models that pass are registered and approved again; what serves goes on serving)"
)
_RUNS = (
    "restore it from a backup; without one, move it away (Dagster begins a new one: the history of "
    "runs is lost, the store and what serves are not)"
)


def examine_home(settings: Settings) -> Iterator[Trouble]:
    """Yield the damaged databases and files of the home."""
    for path in sorted((settings.home / "mlflow").glob("*.db")):
        yield from _database(path, _REGISTRY)
    for path in sorted(settings.dagster_home.rglob("*.db")):
        yield from _database(path, _RUNS)
    for path in sorted(settings.run_dir.glob("*.json")):
        try:
            json.loads(path.read_bytes())
        except (ValueError, OSError, RecursionError) as error:
            remedy = "stop what runs in this home, then delete it: it is written at each start"
            yield Trouble(str(path), str(error).partition("\n")[0], remedy)


def _database(path: Path, remedy: str) -> Iterator[Trouble]:
    if not path.stat().st_size:
        return  # SQLite creates an empty file before the first table
    try:
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as database:
            flaw = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:
        return  # busy, or written by a newer SQLite
    except sqlite3.DatabaseError as error:
        flaw = str(error)
    if flaw != "ok":
        yield Trouble(str(path), flaw, remedy)
