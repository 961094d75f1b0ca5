"""Contract of the model registry port, run against each of its adapters."""

import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.mlflow_registry import MlflowRegistry
from resources.model_registry import (
    DigestMismatch,
    ModelPackage,
    PackageMissing,
    RegistryError,
)

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to create its tables: once for all tests."""
    folder = tmp_path_factory.mktemp("mlflow")
    MlflowRegistry(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", project="other").prepare()
    return folder / "mlflow.db"


@pytest.fixture(params=["mlflow-sqlite"])
def registry(
    empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MlflowRegistry]:
    working_directory = tmp_path / "cwd"
    working_directory.mkdir()
    monkeypatch.chdir(working_directory)
    home = tmp_path / "a home"
    home.mkdir()
    shutil.copy(empty_database, home / "mlflow.db")
    yield MlflowRegistry(tracking_uri=f"sqlite:///{home / 'mlflow.db'}", project="shop")
    assert not list(working_directory.iterdir()), "written into the working directory"


def package(version: str = "train-1", digest: str = "a" * 64, **fields: object) -> ModelPackage:
    return ModelPackage.model_validate(
        {
            "model_version": version,
            "digest": digest,
            "model_key": f"models/{version}/output/model.tar.gz",
            "model_uri": f"file:///store/models/{version}/output/model.tar.gz",
            "dataset_version": "d" * 16,
            "code_version": "1",
            "labels": ("cat", "dog"),
            "metrics": {"accuracy": 0.9},
            **fields,
        }
    )


def test_registering_is_idempotent_and_starts_pending(registry: MlflowRegistry) -> None:
    wanted = package(approval_status="Approved", approver="sneaky")
    first = registry.register(wanted)
    assert registry.register(wanted) == first == registry.get("train-1")
    assert first.immutable() == package()
    assert first.approval_status == "PendingManualApproval"
    assert first.approver == ""
    assert first.created_at is not None
    assert registry.list() == (first,)


def test_a_model_version_never_changes(registry: MlflowRegistry) -> None:
    registry.register(package())
    with pytest.raises(DigestMismatch, match=r"train-1 is registered with digest aaaa"):
        registry.register(package(digest="b" * 64))
    assert registry.get("train-1").digest == "a" * 64


def test_list_is_newest_first_and_empty_at_first(registry: MlflowRegistry) -> None:
    assert list(registry.list()) == []
    for number in range(12):  # MLflow sorts its version numbers as text in places
        registry.register(package(f"train-{number}"))
    assert [p.model_version for p in registry.list()] == [f"train-{n}" for n in range(11, -1, -1)]


def test_missing_package_is_named(registry: MlflowRegistry) -> None:
    with pytest.raises(PackageMissing, match="train-9"):
        registry.get("train-9")
    with pytest.raises(PackageMissing, match="train-9"):
        registry.set_approval("train-9", "Approved", by="me", reason="", digest="a" * 64)


def test_approval_says_who_why_and_when(registry: MlflowRegistry) -> None:
    registry.register(package())
    registry.register(package("train-2"))
    decide = {"by": "ann", "reason": "looks right", "digest": "a" * 64}
    approved = registry.set_approval("train-1", "Approved", **decide)
    assert (approved.approval_status, approved.approver) == ("Approved", "ann")
    assert approved.approval_reason == "looks right"
    assert approved.approval_changed_at is not None
    assert registry.set_approval("train-1", "Approved", **decide) == approved
    assert registry.register(package()) == approved, "registering again keeps the approval"
    assert registry.get("train-2").approval_status == "PendingManualApproval"
    rejected = registry.set_approval("train-1", "Rejected", by="bob", reason="no", digest="a" * 64)
    assert (rejected.approval_status, rejected.approver) == ("Rejected", "bob")


def test_approval_of_another_digest_or_by_nobody_changes_nothing(registry: MlflowRegistry) -> None:
    registered = registry.register(package())
    with pytest.raises(DigestMismatch):
        registry.set_approval("train-1", "Approved", by="me", reason="", digest="b" * 64)
    with pytest.raises(RegistryError, match="who decides"):
        registry.set_approval("train-1", "Approved", by=" ", reason="", digest="a" * 64)
    assert registry.get("train-1") == registered


@pytest.mark.parametrize("survives", range(4))
def test_a_decision_that_is_cut_short_approves_nothing(
    registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    registry.register(package())
    registry.set_approval("train-1", "Approved", by="ann", reason="ok", digest="a" * 64)
    from mlflow.tracking import MlflowClient

    write, written = MlflowClient.set_model_version_tag, []

    def dying(self: MlflowClient, name: str, version: str, key: str, value: str) -> None:
        if len(written) > survives:
            raise KeyboardInterrupt
        written.append(key)
        write(self, name, version, key, value)

    decide = {"by": "bob", "reason": "no", "digest": "a" * 64}
    with monkeypatch.context() as cut:
        cut.setattr(MlflowClient, "set_model_version_tag", dying)
        with pytest.raises(KeyboardInterrupt):
            registry.set_approval("train-1", "Rejected", **decide)
    assert registry.get("train-1").approval_status == "PendingManualApproval"
    assert registry.set_approval("train-1", "Rejected", **decide).approval_status == "Rejected"


def test_racing_registrations_make_one_package(registry: MlflowRegistry) -> None:
    def register() -> None:
        MlflowRegistry(tracking_uri=registry.tracking_uri, project="shop").register(package())

    threads = [threading.Thread(target=register) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    from mlflow.tracking import MlflowClient

    client = MlflowClient(registry.tracking_uri, registry.tracking_uri)
    assert len(client.search_model_versions("name = 'shop'")) == 1


def test_evaluation_is_logged_once_and_completed_after_a_crash(
    registry: MlflowRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    picture = tmp_path / "confusion_matrix.png"
    picture.write_bytes(b"picture")
    logged = {
        "params": {"recipe": "probe"},
        "metrics": {"accuracy": 0.9},
        "artifacts": {"plots/confusion_matrix.png": picture},
    }
    with monkeypatch.context() as cut:
        cut.setattr(MlflowClient, "log_artifact", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit):
            registry.log_evaluation("train-1", **logged)
    run_id = registry.log_evaluation("train-1", **logged)
    assert registry.log_evaluation("train-1", **logged) == run_id
    client = MlflowClient(registry.tracking_uri)
    experiment = client.get_experiment_by_name("shop")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"recipe": "probe"}
    assert run.data.metrics == {"accuracy": 0.9}
    assert [f.path for f in client.list_artifacts(run_id, "plots")] == [
        "plots/confusion_matrix.png"
    ]
    again = registry.log_evaluation("train-1", **{**logged, "metrics": {"accuracy": 0.8}})
    assert again != run_id, "another result is another run"
    registered = registry.register(package(evaluation_run=run_id))
    assert registered.evaluation_run == run_id


def test_mlflow_is_told_to_send_no_telemetry(
    registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    registry.list()
    from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY

    assert MLFLOW_DISABLE_TELEMETRY.get()
