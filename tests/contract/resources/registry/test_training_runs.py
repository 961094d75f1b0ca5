"""A training is one run in MLflow, with all that is needed to compare it with others."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from object_store.store import ObjectStore
from resources.aws.session import AwsSession
from resources.registry.mlflow import MlflowRegistry
from resources.registry.sagemaker import SageMakerRegistry
from resources.registry.training_run import DatasetFacts, Epoch, TrainingRun

pytestmark = pytest.mark.contract

BEGAN = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@pytest.fixture
def mlflow(empty_database: Path, tmp_path: Path) -> Iterator[MlflowRegistry]:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return MlflowRegistry(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}", project="shop")


@pytest.fixture
def run(tmp_path: Path) -> TrainingRun:
    picture = tmp_path / "history.png"
    picture.write_bytes(b"picture")
    return TrainingRun(
        model_version="train-1",
        params={"recipe": "finetune", "learning_rate": "0.001", "long": "x" * 7000},
        tags={"digest": "a" * 64, "dataset_version": "d" * 16, "dagster_run_id": "run-1"},
        epochs=[
            Epoch(
                number,
                BEGAN + timedelta(minutes=number),
                {"epoch": float(number), "val_loss": 1 / number},
            )
            for number in (1, 2, 3)
        ],
        metrics={"final_val_loss": 0.3, "temperature": float("nan"), "seconds_fit": 180.0},
        dataset=DatasetFacts(
            "d" * 16, "datasets/d/manifest.parquet", {"images": 90, "labels": ["猫"]}
        ),
        started_at=BEGAN,
        ended_at=BEGAN + timedelta(minutes=4),
        artifacts={"history.png": picture},
    )


def client_of(registry: MlflowRegistry) -> tuple[Any, str]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(registry.tracking_uri)
    return client, client.get_experiment_by_name("shop").experiment_id


def test_a_run_has_all_that_is_needed_to_compare_it(
    mlflow: MlflowRegistry, run: TrainingRun
) -> None:
    run_id = mlflow.log_training(run)
    client, _ = client_of(mlflow)
    found = client.get_run(run_id)
    began = round(BEGAN.timestamp() * 1000)
    assert (found.info.run_name, found.info.status) == ("train-1", "FINISHED")
    assert (found.info.start_time, found.info.end_time) == (began, began + 240_000)
    assert found.data.params["learning_rate"] == "0.001"
    assert len(found.data.params["long"]) == 6000
    assert found.data.metrics == {
        "val_loss": pytest.approx(1 / 3),
        "final_val_loss": 0.3,
        "seconds_fit": 180.0,
    }
    history = client.get_metric_history(run_id, "val_loss")
    assert [(one.step, one.timestamp - began) for one in history] == [
        (1, 60_000),
        (2, 120_000),
        (3, 180_000),
    ]
    assert run.tags.items() <= found.data.tags.items()
    (given,) = found.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("shop", "d" * 16)
    assert json.loads(given.dataset.profile)["labels"] == ["猫"]
    assert [file.path for file in client.list_artifacts(run_id)] == ["history.png"]


@pytest.mark.parametrize("killed_in", ["log_batch", "log_inputs", "log_artifact", "set_terminated"])
def test_a_run_is_logged_once_and_completed_after_a_crash(
    mlflow: MlflowRegistry, run: TrainingRun, monkeypatch: pytest.MonkeyPatch, killed_in: str
) -> None:
    from mlflow.tracking import MlflowClient

    with monkeypatch.context() as cut:
        cut.setattr(MlflowClient, killed_in, lambda *_, **__: sys.exit("killed"))
        with pytest.raises(SystemExit):
            mlflow.log_training(run)
    run_id = mlflow.log_training(run)
    later = replace(run, tags={**run.tags, "dagster_run_id": "run-2"})
    with monkeypatch.context() as slow:
        slow.setattr(MlflowRegistry, "_client", lambda _: pytest.fail("it would import MLflow"))
        assert mlflow.log_training(later) == run_id, "the asset is materialized again"
    client, experiment = client_of(mlflow)
    (found,) = client.search_runs([experiment])
    assert found.info.status == "FINISHED"
    assert found.data.tags["dagster_run_id"] == "run-1"
    assert len(client.get_metric_history(run_id, "val_loss")) == 3
    assert len(client.get_metric_history(run_id, "final_val_loss")) == 1
    assert len(found.inputs.dataset_inputs) == 1


def test_a_run_that_was_deleted_in_mlflow_is_logged_again(
    mlflow: MlflowRegistry, run: TrainingRun
) -> None:
    deleted = mlflow.log_training(run)
    client, _ = client_of(mlflow)
    client.delete_run(deleted)
    again = mlflow.log_training(run)
    assert again != deleted
    assert client.get_run(again).data.params["recipe"] == "finetune"


def test_a_training_that_failed_is_a_run_which_a_later_success_completes(
    mlflow: MlflowRegistry, run: TrainingRun
) -> None:
    failed = replace(run, epochs=(), metrics={}, artifacts={}, failure="it diverged", tags={})
    run_id = mlflow.log_training(failed)
    client, _ = client_of(mlflow)
    found = client.get_run(run_id)
    assert (found.info.status, found.data.tags["failure"]) == ("FAILED", "it diverged")
    assert found.data.params["learning_rate"] == "0.001"
    assert mlflow.log_training(replace(failed, failure="again")) == run_id
    assert mlflow.log_training(run) == run_id
    found = client.get_run(run_id)
    assert (found.info.status, "failure" in found.data.tags) == ("FINISHED", False)
    assert found.data.tags["digest"] == "a" * 64
    mlflow.log_training(failed)
    assert client.get_run(run_id).info.status == "FINISHED"


def test_the_trials_of_a_search_are_runs_below_it(mlflow: MlflowRegistry, run: TrainingRun) -> None:
    search = mlflow.log_training(replace(run, model_version="train-5e"))
    trial = replace(run, model_version="train-5e/1", title="trial 1", parent="train-5e")
    client, _ = client_of(mlflow)
    found = client.get_run(mlflow.log_training(trial))
    assert (found.info.run_name, found.data.tags["mlflow.parentRunId"]) == ("trial 1", search)
    assert mlflow.log_training(trial) == found.info.run_id
    alone = client.get_run(mlflow.log_training(replace(trial, model_version="x/1", parent="x")))
    assert "mlflow.parentRunId" not in alone.data.tags


def test_the_test_scores_are_beside_the_hyperparameters(
    mlflow: MlflowRegistry, run: TrainingRun
) -> None:
    run_id = mlflow.log_training(run)
    scores = {"accuracy": 0.9, "test_images": 200.0, "champion_accuracy": 0.8}
    given: dict[str, Any] = {"params": {"job": "eval-1"}, "metrics": scores, "artifacts": {}}
    evaluation = mlflow.log_evaluation("train-1", **given)
    assert mlflow.log_evaluation("train-1", **given) == evaluation != run_id
    client, _ = client_of(mlflow)
    assert client.get_run(evaluation).data.tags["mlflow.parentRunId"] == run_id
    metrics = client.get_run(run_id).data.metrics
    assert (metrics["test_accuracy"], metrics["test_images"]) == (0.9, 200.0)
    assert not [name for name in metrics if "champion" in name]
    assert len(client.get_metric_history(run_id, "test_accuracy")) == 1


def test_a_model_of_older_code_is_evaluated_without_a_training_run(mlflow: MlflowRegistry) -> None:
    run_id = mlflow.log_evaluation("train-0", params={}, metrics={"accuracy": 0.9}, artifacts={})
    client, experiment = client_of(mlflow)
    (found,) = client.search_runs([experiment])
    assert found.info.run_id == run_id
    assert "mlflow.parentRunId" not in found.data.tags


def test_unknown_times_are_those_of_the_job(mlflow: MlflowRegistry, run: TrainingRun) -> None:
    """A job of older code wrote no times of its epochs; one that was resumed began before."""
    untimed = [replace(epoch, at=None) for epoch in run.epochs]
    run_id = mlflow.log_training(replace(run, model_version="train-2", epochs=untimed))
    client, _ = client_of(mlflow)
    history = client.get_metric_history(run_id, "val_loss")
    assert {one.timestamp for one in history} == {round((BEGAN.timestamp() + 240) * 1000)}
    resumed = replace(run, model_version="train-3", started_at=BEGAN + timedelta(minutes=2))
    found = client.get_run(mlflow.log_training(resumed))
    assert found.info.start_time == round((BEGAN.timestamp() + 60) * 1000)


def test_on_aws_a_training_is_logged_where_a_server_is_set(
    mlflow: MlflowRegistry, run: TrainingRun, tmp_path: Path
) -> None:
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    without = SageMakerRegistry(session=AwsSession(), store=store, project="shop", image_uri="i:1")
    assert without.log_training(run) == ""
    tracked = without.model_copy(update={"tracking_uri": mlflow.tracking_uri})
    run_id = tracked.log_training(run)
    assert run_id
    given: dict[str, Any] = {"params": {}, "metrics": {"accuracy": 0.9}, "artifacts": {}}
    evaluation = tracked.log_evaluation("train-1", **given)
    assert evaluation == without.log_evaluation("train-1", **given), "the record is the store's"
    client, _ = client_of(mlflow)
    assert client.get_run(run_id).data.metrics["test_accuracy"] == 0.9
    broken = without.model_copy(update={"tracking_uri": "sqlite:////proc/none/mlflow.db"})
    assert broken.log_evaluation("train-1", **given) == evaluation, "the line goes on without"
