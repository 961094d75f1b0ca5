"""A search for hyperparameters, logged in MLflow: a run of the search, and below it one a trial."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from assets.model.tracking import Times, dataset_facts, files_of
from object_store.errors import KeyMissing
from resources.compute.job_spec import JobSpec
from resources.registry.registry import ModelRegistry
from resources.registry.training_run import Epoch, TrainingRun, noted_failure
from training.config import CODE_VERSION
from training.tuning.study import TRIALS


@dataclass(frozen=True)
class SearchTracker:
    """Logs one search. A failure to log is a warning; the search does not depend on it.

    Attributes:
        context: Dagster's.
        registry: with MLflow, if there is one.
        spec: the job.
        card: the data set's card.
    """

    context: dg.AssetExecutionContext
    registry: ModelRegistry
    spec: JobSpec
    card: Mapping[str, Any]

    def log(
        self,
        chosen: Mapping[str, Any],
        numbers: Mapping[str, float | None],
        outputs: Mapping[str, bytes],
        times: Times,
        pictures: Sequence[str],
    ) -> dict[str, str]:
        """Log the search and its trials.

        Args:
            chosen: the best values, by hyperparameter.
            numbers: of the search.
            outputs: the job's files.
            times: when the job began and ended.
            pictures: names of files to log.

        Returns:
            The metadata that names its run, or says why there is none.
        """
        told: list[str] = []
        with (
            noted_failure(f"the search {self.spec.name}", told.append),
            tempfile.TemporaryDirectory(prefix="imgclf-") as scratch,
        ):
            files = files_of(outputs, (*pictures, TRIALS), Path(scratch))
            known = {name: float(one) for name, one in numbers.items() if one is not None}
            run_id = self.registry.log_training(self._run(chosen, known, times, files))
            for trial in _trials(outputs) if run_id else ():
                self.registry.log_training(self._trial(trial))
            return {"mlflow_run": run_id} if run_id else {}
        self.context.log.warning(told[0])
        return {"mlflow_run": told[0]}

    def _run(
        self,
        chosen: Mapping[str, Any],
        numbers: Mapping[str, float],
        times: Times,
        files: Mapping[str, Path],
    ) -> TrainingRun:
        space = self.spec.hyperparameters.get("space", "")
        return TrainingRun(
            model_version=self.spec.name,
            title=f"{self.spec.name} search",
            params={**_texts(chosen), "space": space},
            tags=self._tags({"dagster_run_id": self.context.run.run_id}),
            epochs=(),
            metrics=numbers,
            dataset=dataset_facts(self.card),
            started_at=times[0],
            ended_at=times[1],
            artifacts=files,
        )

    def _trial(self, trial: Mapping[str, Any]) -> TrainingRun:
        number, loss = int(trial["number"]), trial["val_loss"]
        began, ended = (_moment(trial[name]) for name in ("started_at", "ended_at"))
        return TrainingRun(
            model_version=f"{self.spec.name}/{number}",
            title=f"trial {number}",
            parent=self.spec.name,
            params=_texts(trial["values"]),
            tags=self._tags({"state": str(trial["state"])}),
            epochs=[
                Epoch(int(step), ended, {"val_loss": float(one)})
                for step, one in trial["epochs"].items()
            ],
            metrics={} if loss is None else {"final_val_loss": float(loss)},
            dataset=dataset_facts(self.card),
            started_at=began,
            ended_at=ended,
            failure=str(trial["fault"]),
        )

    def _tags(self, own: Mapping[str, str]) -> dict[str, str]:
        return {
            "dataset_version": str(self.card["version"]),
            "code_version": CODE_VERSION,
            "mlflow.source.type": "JOB",
            "mlflow.source.name": self.spec.module,
            **own,
        }


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: one if isinstance(one, str) else json.dumps(one) for name, one in values.items()}


def _trials(outputs: Mapping[str, bytes]) -> list[Mapping[str, Any]]:
    """Return the trials; none of a job that has not written them."""
    with suppress(KeyMissing, KeyError):
        found: list[Mapping[str, Any]] = json.loads(outputs[TRIALS])
        return found
    return []


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
