"""Migration scripts are read once a process, however often Dagster's databases are opened."""

import runpy
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from alembic.config import Config
from alembic.script import Script, ScriptDirectory

from imgclf_dagster.home import migrations

pytestmark = pytest.mark.contract


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the scripts that Alembic reads, as in a process that has read none."""
    found: list[str] = []
    original = Script._from_path

    def noted(*where: Any) -> Script | None:
        found.append(str(where[-1]))
        return original(*where)

    monkeypatch.setattr(Script, "_from_path", noted)
    monkeypatch.setattr(ScriptDirectory, "from_config", migrations._read)
    monkeypatch.setattr(migrations, "_known", {})
    return found


def test_an_instance_is_opened_again_without_reading_scripts(
    read: list[str], tmp_path: Path
) -> None:
    # What `dagster code-server start` and each run load; the sensors open an instance each time.
    runpy.run_module("imgclf_dagster.definitions", run_name="loaded again")
    (tmp_path / "dagster.yaml").touch()
    with dg.DagsterInstance.from_config(str(tmp_path)):
        assert len(read) > 30
        read.clear()
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        run = instance.create_run_for_job(dg.GraphDefinition("empty").to_job())
        instance.report_engine_event("a database of its own", run)
        assert instance.all_logs(run.run_id)
    assert read == []


@pytest.mark.usefixtures("read")
def test_folders_of_scripts_are_told_apart(tmp_path: Path) -> None:
    migrations.read_migrations_once()
    for name in ("dagster", "mlflow"):
        (tmp_path / name / "versions").mkdir(parents=True)
        script = f"revision, down_revision = '{name}', None"
        (tmp_path / name / "versions" / "first.py").write_text(script)
        config = Config()
        config.set_main_option("script_location", str(tmp_path / name))
        assert ScriptDirectory.from_config(config).as_revision_number("head") == name
