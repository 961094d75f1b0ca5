"""An empty database of MLflow for the tests of this folder."""

from pathlib import Path

import pytest

from resources.registry.mlflow import MlflowRegistry


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to create its tables: once for all tests."""
    folder = tmp_path_factory.mktemp("mlflow")
    MlflowRegistry(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", project="other").prepare()
    return folder / "mlflow.db"
