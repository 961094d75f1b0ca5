"""The server of MLflow and a run that registers a model may create the database at the same moment."""

import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import mlflow.server
import pytest
from filelock import FileLock

from imgclf_dagster import mlflow_server
from resources.registry import mlflow_writes
from resources.registry.mlflow import MlflowRegistry

pytestmark = pytest.mark.contract


@pytest.fixture(autouse=True)
def _stock_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back what the server's program replaces in MLflow."""
    monkeypatch.setattr(
        mlflow.server, "_build_uvicorn_command", mlflow.server._build_uvicorn_command
    )


def _tables(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def _serve(monkeypatch: pytest.MonkeyPatch, uri: str, seen: list[set[str]]) -> None:
    """Start the server's program, whose own command only looks at the database."""
    database = mlflow_writes.database_of(uri)

    def command() -> None:
        assert database is not None
        seen.append(_tables(database) if database.exists() else set())

    monkeypatch.setattr("mlflow.cli.cli", command)
    monkeypatch.setattr(sys, "argv", ["mlflow", "server", "--backend-store-uri", uri])
    mlflow_server.main()


def test_the_server_finds_a_complete_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "mlflow" / "mlflow.db"
    seen: list[set[str]] = []
    _serve(monkeypatch, f"sqlite:///{database}", seen)
    assert {"experiments", "model_versions", "alembic_version"} <= seen[0]
    assert not [name for name in seen[0] if name.startswith("_alembic_tmp")]


def test_the_server_waits_for_a_run_that_creates_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "mlflow.db"
    uri, seen = f"sqlite:///{database}", []
    created = []
    create = mlflow_writes.create_database

    def counted(path: Path) -> None:
        created.append(path.exists())
        create(path)

    monkeypatch.setattr(mlflow_writes, "create_database", counted)
    with ThreadPoolExecutor(1) as pool:
        with FileLock(f"{database}.lock"):
            served = pool.submit(_serve, monkeypatch, uri, seen)
            create(database)
        served.result()
    assert created in ([True], [])  # it waited, or came when all was done
    MlflowRegistry(tracking_uri=uri, project="shop").prepare()
    assert _tables(database) == seen[0]


def test_a_server_elsewhere_has_no_database_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr("mlflow.cli.cli", lambda: called.append(True))
    monkeypatch.setattr(
        sys, "argv", ["mlflow", "server", "--backend-store-uri", "postgresql://host/db"]
    )
    mlflow_server.main()
    assert called == [True]
