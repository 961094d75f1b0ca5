"""Training runs in MLflow: one of each model version, with its history, data set and pictures."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from resources.registry.training_run import DatasetFacts, TrainingRun

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

TRAINING_TAG = "imgclf.training"
"""Tag of a training run: its model version, by which it is found again."""

PARENT_TAG = "mlflow.parentRunId"
"""MLflow's tag of a run that is shown below another one."""

_AT_ONCE = 1000
"""Most metrics of one request to MLflow."""

_PARAM_CHARACTERS, _TAG_CHARACTERS = 6000, 5000
"""Most characters of a parameter, and of a tag."""

_FAILURE_TAG = "failure"

_COLUMNS = {
    "mlflow_colspec": [
        {"name": "image", "type": "binary", "required": True},
        {"name": "labels", "type": "string", "required": True},
    ]
}


def log_training(client: "MlflowClient", experiment_id: str, project: str, run: TrainingRun) -> str:
    """Find the run of a model version, or create it; completes a run that was interrupted.

    Args:
        client: of the server or database.
        experiment_id: MLflow's.
        project: names the data set.
        run: what to log.

    Returns:
        MLflow's id of the run.
    """
    from mlflow.entities import Param, RunTag

    found = training_run_of(client, experiment_id, run.model_version)
    if found is None:
        found = client.create_run(
            experiment_id,
            start_time=_ms(_began(run)),
            tags={TRAINING_TAG: run.model_version, **_above(client, experiment_id, run.parent)},
            run_name=run.title or run.model_version,
        )
    run_id: str = found.info.run_id
    if found.info.status == "FINISHED":
        return run_id
    params = [Param(name, value[:_PARAM_CHARACTERS]) for name, value in run.params.items()]
    tags = {**run.tags, **_parent(client, experiment_id, run.params.get("parent_digest", ""))}
    client.log_batch(run_id, params=params, tags=[RunTag(*tag) for tag in tags.items()])
    client.log_inputs(run_id, datasets=[_dataset_input(project, run.dataset)])
    # Each has a fixed time, so that logging it again after a crash adds nothing.
    metrics = list(_metrics(run))
    for start in range(0, len(metrics), _AT_ONCE):
        client.log_batch(run_id, metrics=metrics[start : start + _AT_ONCE])
    for path in run.artifacts.values():
        client.log_artifact(run_id, str(path))
    if run.failure:
        client.set_tag(run_id, _FAILURE_TAG, run.failure[:_TAG_CHARACTERS])
    elif _FAILURE_TAG in found.data.tags:  # it succeeded after all
        client.delete_tag(run_id, _FAILURE_TAG)
    status = "FAILED" if run.failure else "FINISHED"
    client.set_terminated(run_id, status, end_time=_ms(run.ended_at))
    return run_id


def _above(client: "MlflowClient", experiment_id: str, parent: str) -> dict[str, str]:
    """Return MLflow's tag of a run that is shown below another; empty if there is no such run.

    Args:
        client: of the server or database.
        experiment_id: MLflow's.
        parent: model version of the other run; "" for none.
    """
    found = training_run_of(client, experiment_id, parent) if parent else None
    return {PARENT_TAG: found.info.run_id} if found else {}


def _parent(client: "MlflowClient", experiment_id: str, digest: str) -> dict[str, str]:
    """Return the tag that names the version which a training started from; empty if unknown.

    Args:
        client: of the server or database.
        experiment_id: MLflow's.
        digest: of that version's artefact; "" without one.
    """
    if not digest:
        return {}
    query = f"tags.digest = '{digest}'"
    found = client.search_runs([experiment_id], query, max_results=1)
    return {"parent_version": found[0].data.tags[TRAINING_TAG]} if found else {}


def training_run_of(client: "MlflowClient", experiment_id: str, model_version: str) -> "Run | None":
    """Find the training run of a model version.

    Args:
        client: of the server or database.
        experiment_id: MLflow's.
        model_version: that was trained.

    Returns:
        The run; of several, which only a server can have, the oldest; ``None`` without one.
    """
    found: Sequence[Run] = client.search_runs(
        [experiment_id],
        f"tags.`{TRAINING_TAG}` = '{model_version}'",
        max_results=1,
        order_by=["attributes.start_time ASC"],
    )
    return found[0] if found else None


def note_test_scores(client: "MlflowClient", run: "Run", scores: Mapping[str, float]) -> None:
    """Add a model's scores on the test split to its training run, unless they are there.

    Args:
        client: of the server or database.
        run: the training run.
        scores: by name; each becomes ``test_<name>``. Those of a champion are left out.
    """
    named = {
        f"test_{name.removeprefix('test_')}": value
        for name, value in scores.items()
        if not name.startswith("champion_")
    }
    for name, value in named.items():
        if run.data.metrics.get(name) != value:
            client.log_metric(run.info.run_id, name, value)


def _metrics(run: TrainingRun) -> "Iterator[Any]":
    from mlflow.entities import Metric

    end = _ms(run.ended_at) or _ms(run.started_at) or 0
    for epoch in run.epochs:
        at = _ms(epoch.at) or end
        for name, value in epoch.numbers.items():
            if name != "epoch" and math.isfinite(value):
                yield Metric(name, value, at, epoch.step)
    for name, value in run.metrics.items():
        if math.isfinite(value):
            yield Metric(name, value, end, 0)


def _dataset_input(project: str, dataset: DatasetFacts) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    described = Dataset(
        name=project,
        digest=dataset.version[:36],  # MLflow's limit
        source_type="imgclf-store",
        source=json.dumps({"key": dataset.source}),
        schema=json.dumps(_COLUMNS),
        profile=json.dumps(dict(dataset.profile), ensure_ascii=False),
    )
    return DatasetInput(described, tags=[InputTag("mlflow.data.context", "training")])


def _began(run: TrainingRun) -> datetime | None:
    """Return the start of the run; of a job that was interrupted, it may be that of its first epoch."""
    known = [run.started_at, *(epoch.at for epoch in run.epochs)]
    return min((moment for moment in known if moment), default=None)


def _ms(moment: datetime | None) -> int | None:
    return round(moment.timestamp() * 1000) if moment else None
