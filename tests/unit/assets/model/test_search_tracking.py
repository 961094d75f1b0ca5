"""A search and its trials in MLflow; that they cannot be logged stops nothing."""

import json
import logging
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from assets.model.search_tracking import SearchTracker
from resources.compute.job_spec import JobSpec
from resources.registry.mlflow import MlflowRegistry
from resources.registry.training_run import TrainingRun

pytestmark = pytest.mark.unit

TIMES = datetime(2026, 3, 2, 8, tzinfo=UTC), datetime(2026, 3, 2, 9, tzinfo=UTC)
TRIALS = [
    {
        "number": 1, "state": "complete", "fault": "", "val_loss": 0.25,
        "values": {"optimizer": "adamw", "learning_rate": 0.001}, "epochs": {"1": 0.5, "2": 0.25},
        "started_at": "2026-03-02T08:00:00+00:00", "ended_at": "2026-03-02T08:30:00+00:00",
    },
    {
        "number": 2, "state": "fail", "fault": "it diverged", "val_loss": None,
        "values": {"optimizer": "sgd", "learning_rate": 9.0}, "epochs": {},
        "started_at": "2026-03-02T08:30:00+00:00", "ended_at": None,
    },
]  # fmt: skip


class Noted(MlflowRegistry):
    """A registry that keeps what it is to log."""

    tracking_uri: str = "sqlite:////none"
    project: str = "shop"
    answer: str = "run-1"
    fault: str = ""
    _runs: list[TrainingRun] = []

    def log_training(self, run: TrainingRun) -> str:
        if self.fault:
            raise ConnectionError(self.fault)
        self._runs.append(run)
        return self.answer


def logged(registry: Noted, **outputs: bytes) -> dict[str, str]:
    context: Any = SimpleNamespace(run=SimpleNamespace(run_id="r-1"), log=logging.getLogger())
    spec = JobSpec(
        name="train-5e", kind="training", module="training.tune", hyperparameters={"space": "{}"}
    )
    files = {"trials.json": json.dumps(TRIALS).encode(), "history.png": b"picture", **outputs}
    return SearchTracker(context, registry, spec, {"version": "d1", "images": 9}).log(
        {"optimizer": "adamw", "learning_rate": 0.001},
        {"val_loss": 0.25, "trials": 2},
        files,
        TIMES,
        ("history.png",),
    )


def test_the_trials_are_below_the_search() -> None:
    registry = Noted()
    assert logged(registry) == {"mlflow_run": "run-1"}
    search, best, failed = registry._runs
    assert (search.title, search.parent) == ("train-5e search", "")
    assert search.params == {"optimizer": "adamw", "learning_rate": "0.001", "space": "{}"}
    assert (search.metrics, set(search.artifacts)) == (
        {"val_loss": 0.25, "trials": 2.0},
        {"history.png", "trials.json"},
    )
    assert (best.title, best.parent, best.failure) == ("trial 1", "train-5e", "")
    assert [epoch.numbers for epoch in best.epochs] == [{"val_loss": 0.5}, {"val_loss": 0.25}]
    assert best.metrics == {"final_val_loss": 0.25}
    assert (failed.failure, failed.tags["state"], failed.metrics) == ("it diverged", "fail", {})
    assert failed.ended_at is None


def test_a_search_without_mlflow_or_trials_is_no_error() -> None:
    nowhere = Noted(answer="")
    assert logged(nowhere) == {}
    assert len(nowhere._runs) == 1
    assert "no route" in logged(Noted(fault="no route"))["mlflow_run"]
    assert "not logged in MLflow" in logged(Noted(), **{"trials.json": b"\x00"})["mlflow_run"]
