"""What of a training is logged in MLflow; that it cannot be logged stops nothing."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assets.model.tracking import TrainingTracker, history
from resources.compute.failures import JobFailed
from resources.compute.job_spec import JobSpec
from resources.compute.outputs import OutputMissing
from resources.registry.mlflow import MlflowRegistry
from resources.registry.training_run import TrainingRun
from training.config import Hyperparameters

pytestmark = pytest.mark.unit

BEGAN, ENDED = datetime(2026, 3, 2, 8, tzinfo=UTC), datetime(2026, 3, 2, 9, tzinfo=UTC)
HISTORY = [{"epoch": 1.0, "val_loss": 0.5}, {"epoch": 2.0, "val_loss": 0.25}]


class Noted(MlflowRegistry):
    """A registry that keeps what it is to log, and what it does instead of logging it."""

    tracking_uri: str = "sqlite:////none"
    project: str = "shop"
    fault: str = ""
    _runs: list[TrainingRun] = []
    _files: list[dict[str, bytes]] = []

    def log_training(self, run: TrainingRun) -> str:
        self._runs.append(run)
        self._files.append({name: path.read_bytes() for name, path in run.artifacts.items()})
        if self.fault:
            raise ConnectionError(f"{self.fault}\nand more")
        return "run-1"


class Outputs(dict[str, bytes]):
    """The files of a job."""

    def __missing__(self, name: str) -> bytes:
        raise OutputMissing(name)


def tracker(registry: Noted) -> TrainingTracker:
    context: Any = SimpleNamespace(run=SimpleNamespace(run_id="r-1"), log=logging.getLogger())
    return TrainingTracker(
        context,
        registry,
        JobSpec(name="train-1", kind="training", module="training.train"),
        Hyperparameters(recipe="finetune", architecture="resnet18", learning_rate=1e-3),
        {"version": "d1", "task": "single_label", "images": 90, "labels": ["猫", "dog"]},
        "e" * 64,
    )


def outputs(**changes: bytes) -> Mapping[str, bytes]:
    known = {
        "history.json": json.dumps(HISTORY).encode(),
        "epoch_times.json": b"[1767600000.5, null]",
        "history.png": b"picture",
    }
    return Outputs({**known, **{name.replace("_json", ".json"): b for name, b in changes.items()}})


def test_a_training_is_logged_with_what_it_was_made_from() -> None:
    registry = Noted()
    metrics = {"digest": "a" * 64, "val_loss": 0.3, "val_images": 9, "temperature": 1.5, "is": True}
    tracked = tracker(registry).log(metrics, outputs(), (BEGAN, ENDED))
    assert tracked == {"mlflow_run": "run-1"}
    (run,) = registry._runs
    assert run.params["architecture"] == "resnet18"
    assert run.params["learning_rate"] == "0.001"
    assert run.params["weights_sha256"] == "e" * 64
    used = Hyperparameters.model_fields.keys() - {"export_precision"}  # fp32 is not named
    assert set(run.params) == {*used, "weights_sha256", "task"}
    assert run.metrics == {"final_val_loss": 0.3, "val_images": 9.0, "temperature": 1.5}
    assert [(epoch.step, epoch.at, epoch.numbers["val_loss"]) for epoch in run.epochs] == [
        (1, datetime.fromtimestamp(1767600000.5, UTC), 0.5),
        (2, None, 0.25),
    ]
    assert (run.tags["digest"], run.tags["dataset_version"]) == ("a" * 64, "d1")
    assert run.tags["dagster_run_id"] == "r-1"
    assert run.dataset.profile == {
        "images": 90, "task": "single_label", "labels": ["猫", "dog"],
    }  # fmt: skip
    assert (run.started_at, run.ended_at, run.failure) == (BEGAN, ENDED, "")
    assert registry._files[0]["history.png"] == b"picture"
    assert "metrics.json" not in registry._files[0], "the job has not written it"
    assert not any(Path(value).is_absolute() for value in run.params.values())


def test_the_steps_of_a_probe_are_its_strengths() -> None:
    probed = [{"c": 0.1, "val_loss": 0.5}, {"c": 1.0, "val_loss": 0.4}]
    found = history(Outputs({"history.json": json.dumps(probed).encode()}))
    assert [(one.step, one.at, one.numbers["c"]) for one in found] == [(1, None, 0.1), (2, None, 1)]


@pytest.mark.parametrize(
    "damage",
    [{"history_json": b"\x00"}, {"history_json": b"[1]"}, {"epoch_times_json": b'["x"]'},
     {"epoch_times_json": b"[1e300]"}, {"history_json": b'[{"epoch": "x"}]'}],
)  # fmt: skip
def test_a_damaged_history_is_an_empty_one(damage: dict[str, bytes]) -> None:
    assert history(outputs(**damage)) == []
    assert history(Outputs()) == []


def test_a_server_that_does_not_answer_is_a_warning() -> None:
    tracked = tracker(Noted(fault="no route to host")).log({"digest": "a"}, outputs(), (None, None))
    assert tracked["mlflow_run"] == (
        "the training of train-1 is not logged in MLflow, and the line goes on: ConnectionError: "
        "no route to host"
    )


@pytest.mark.parametrize("fault", ["", "no route to host"])
def test_a_training_that_failed_is_logged_and_fails_all_the_same(fault: str) -> None:
    registry = Noted(fault=fault)
    with pytest.raises(JobFailed, match="it diverged"), tracker(registry).failures_noted():
        raise JobFailed("it diverged\n\nThe end of its log: /home/me")
    (run,) = registry._runs
    assert run.failure == "it diverged"
    assert run.params["recipe"] == "finetune"
    assert (run.metrics, run.epochs) == ({}, ())
    with pytest.raises(KeyboardInterrupt), tracker(registry).failures_noted():
        raise KeyboardInterrupt
    assert len(registry._runs) == 1
