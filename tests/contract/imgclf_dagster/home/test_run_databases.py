"""Dagster's own databases in a home that several programs use for the first time at once."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from imgclf_dagster.home.run_databases import create_run_databases
from tests.patience import WAIT_S
from tests.warm_programs.sitecustomize import PROGRAMS, WARM

pytestmark = pytest.mark.contract


def revisions(dagster_home: Path) -> list[int]:
    """How many revisions each database notes down."""
    found = []
    for file in ("history/runs.db", "history/runs/index.db", "schedules/schedules.db"):
        with sqlite3.connect(dagster_home / file) as database:
            found.append(
                len(database.execute("select version_num from alembic_version").fetchall())
            )
    return found


def test_programs_that_start_together_make_one_database_of_each_kind(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; "
        "from imgclf_dagster.home.run_databases import create_run_databases; "
        "import dagster; print('ready', flush=True); sys.stdin.readline(); "
        "create_run_databases(Path(sys.argv[1])); "
        "instance = dagster.DagsterInstance.from_config(sys.argv[1]); "
        "print(instance.get_runs_count())"
    )
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            env={**os.environ, WARM: PROGRAMS},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
    texts = [program.communicate("go\n", timeout=WAIT_S)[0] for program in programs]
    assert texts == ["0\n"] * 3
    assert revisions(tmp_path) == [1, 1, 1]


def test_what_a_killed_program_left_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "databases.part" / "history").mkdir(parents=True)
    (tmp_path / "databases.part" / "history" / "runs.db").write_bytes(b"half of it")
    create_run_databases(tmp_path)
    assert revisions(tmp_path) == [1, 1, 1]
    assert not (tmp_path / "databases.part").exists()


def test_databases_that_are_there_are_left_alone(tmp_path: Path) -> None:
    create_run_databases(tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.add_dynamic_partitions("release", ["one"])
    create_run_databases(tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.get_dynamic_partitions("release") == ["one"]
