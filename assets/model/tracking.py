"""The training of a model, logged in MLflow."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from assets.dataset.versions import dataset_prefix
from object_store.contents.damage import DamagedObject
from object_store.errors import KeyMissing
from resources.compute.failures import JobFailed
from resources.compute.job_spec import JobSpec
from resources.registry.registry import ModelRegistry
from resources.registry.training_run import DatasetFacts, Epoch, TrainingRun, noted_failure
from training.config import CODE_VERSION, Hyperparameters

HISTORY, EPOCH_TIMES = "history.json", "epoch_times.json"
ARTIFACTS = ("metrics.json", HISTORY, "history.png", "augmented_batch.jpg")
"""Files of the job that are logged, as far as it wrote them."""

Times = tuple[datetime | None, datetime | None]


@dataclass(frozen=True)
class TrainingTracker:
    """Logs one training in MLflow. A failure to log is a warning; the training does not depend on it.

    Attributes:
        context: Dagster's.
        registry: with MLflow, if there is one.
        spec: the job.
        hyperparameters: of the job.
        card: the data set's card.
        weights: identity of the pretrained weights; "" without any.
    """

    context: dg.AssetExecutionContext
    registry: ModelRegistry
    spec: JobSpec
    hyperparameters: Hyperparameters
    card: Mapping[str, Any]
    weights: str

    def log(
        self, metrics: Mapping[str, Any], outputs: Mapping[str, bytes], times: Times
    ) -> dict[str, str]:
        """Log the finished training.

        Args:
            metrics: content of the job's ``metrics.json``.
            outputs: the job's files.
            times: when the job began and ended.

        Returns:
            The metadata that names its run, or says why there is none.
        """

        def log() -> str:
            with tempfile.TemporaryDirectory(prefix="imgclf-") as scratch:
                files = files_of(outputs, ARTIFACTS, Path(scratch))
                run = self._run(times, metrics=metrics, epochs=history(outputs), artifacts=files)
                return self.registry.log_training(run)

        return self._noted(log)

    @contextmanager
    def failures_noted(self) -> Iterator[None]:
        """Log the training as failed if the block raises ``JobFailed``, which is raised again."""
        began = datetime.now(UTC)
        try:
            yield
        except JobFailed as error:
            reason = (error.description or "").partition("\n\n")[0]  # what follows is detail
            times = began, datetime.now(UTC)
            self._noted(lambda: self.registry.log_training(self._run(times, failure=reason)))
            raise

    def _noted(self, log: Callable[[], str]) -> dict[str, str]:
        told: list[str] = []
        with noted_failure(f"the training of {self.spec.name}", told.append):
            run_id = log()
            return {"mlflow_run": run_id} if run_id else {}
        self.context.log.warning(told[0])
        return {"mlflow_run": told[0]}

    def _run(
        self,
        times: Times,
        *,
        metrics: Mapping[str, Any] | None = None,
        epochs: Sequence[Epoch] = (),
        artifacts: Mapping[str, Path] | None = None,
        failure: str = "",
    ) -> TrainingRun:
        digest = {"digest": str(metrics["digest"])} if metrics else {}
        return TrainingRun(
            model_version=self.spec.name,
            params=self._params(),
            tags={
                **digest,
                "model_version": self.spec.name,
                "dataset_version": str(self.card["version"]),
                "code_version": CODE_VERSION,
                "dagster_run_id": self.context.run.run_id,
                "mlflow.source.type": "JOB",
                "mlflow.source.name": self.spec.module,
            },
            epochs=epochs,
            metrics=_numbers(metrics or {}),
            dataset=dataset_facts(self.card),
            started_at=times[0],
            ended_at=times[1],
            artifacts=artifacts or {},
            failure=failure,
        )

    def _params(self) -> dict[str, str]:
        """Return the hyperparameters that are used as text, with the identity of the weights."""
        given = self.hyperparameters.used()
        text = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in given.items()
        }
        return {
            **text,
            "weights_sha256": self.weights or "none",
            "task": str(self.card["task"]),
        }


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers; scores on the validation split become ``final_val_…``, beside the epochs'."""
    return {
        f"final_{name}" if name.startswith("val_") and name != "val_images" else name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def dataset_facts(card: Mapping[str, Any]) -> DatasetFacts:
    """Describe a data set by its card."""
    version = str(card["version"])
    profile = {name: card[name] for name in ("images", "task", "labels", "counts") if name in card}
    return DatasetFacts(version, f"{dataset_prefix(version)}manifest.parquet", profile)


def history(outputs: Mapping[str, bytes]) -> list[Epoch]:
    """Read a job's history; empty if it is damaged, times of ``None`` if they are unknown.

    Args:
        outputs: files of the job.
    """
    try:
        entries: Sequence[Mapping[str, float]] = json.loads(outputs[HISTORY])
        times = json.loads(outputs[EPOCH_TIMES]) if EPOCH_TIMES in outputs else []
        moments = [datetime.fromtimestamp(at, UTC) if at else None for at in times]
        moments += [None] * (len(entries) - len(moments))
        return [
            Epoch(
                int(entry.get("epoch", number)),
                at,
                {name: float(value) for name, value in entry.items()},
            )
            for number, (entry, at) in enumerate(zip(entries, moments, strict=False), start=1)
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return []


def files_of(outputs: Mapping[str, bytes], names: Sequence[str], folder: Path) -> dict[str, Path]:
    """Write files of a job into a folder; those that are missing or damaged are left out.

    Args:
        outputs: files of the job.
        names: of those to write.
        folder: to write to.

    Returns:
        Their paths by name.
    """
    files = {}
    for name in names:
        with suppress(DamagedObject, KeyMissing):
            data = outputs[name]
            files[name] = folder / name
            files[name].write_bytes(data)
    return files
