"""The training runs in the store: what each was made from, and how good its model is.

Read from the records of jobs, evaluations, challengers and deployments alone, without MLflow or a
server.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import sqrt
from typing import Any

from assets.evaluation.records import newest_evaluation
from assets.evaluation.scores import accuracy_name
from assets.records.challenger_model import ChallengerModelRecord
from errors.base import ImgclfError
from imgclf_dagster.status.challenges import Challenges
from object_store.contents.damage import DamagedObject
from object_store.contents.numbered import newest_key
from object_store.store import ObjectStore
from resources.compute.outputs import job_times, read_job
from serving.deployments import STAGES, records_prefix, version_in

_PREFIX, _RECORD, _MODULE = "models/train-", "/job.json", "training.train"
_Z = 1.959964
"""Of a 95 % interval."""

NOT_HYPERPARAMETERS = ("dataset_version", "model_version")
"""Parameters of a job that say what it is, not how it learns."""


class NoSuchRun(ImgclfError, ValueError):
    """No training run, or several, have this name or beginning of a name."""


@dataclass(frozen=True)
class Score:
    """An accuracy and how sure it is.

    Attributes:
        accuracy: share of right answers.
        images: on how many images it was measured; 0: unknown.
        measured: the interval that the evaluation found; ``None``: there is none.
    """

    accuracy: float
    images: int
    measured: tuple[float, float] | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the true share: the evaluation's, or Wilson's (1927,
        doi:10.1080/01621459.1927.10502953)."""
        if self.measured:
            return self.measured
        n, p = self.images, self.accuracy
        if not n:
            return None
        middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        reach = _Z / (1 + _Z**2 / n) * sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
        return max(0.0, middle - reach), min(1.0, middle + reach)

    def to_json(self) -> dict[str, Any]:
        """Return values that ``json`` can serialize."""
        return {"accuracy": self.accuracy, "images": self.images, "interval": self.interval}


@dataclass(frozen=True)
class StoredRun:
    """A training run.

    Attributes:
        version: of the model.
        problem: why nothing else is known; "" if it is.
        hyperparameters: by name; empty for jobs of older code whose run Dagster has forgotten.
        dataset_version: of the training.
        metrics: numbers that the job reported.
        started_at: of the job.
        ended_at: of the job.
        seconds: duration of the job.
        validation: accuracy on the validation split, or by cross-validation.
        test: accuracy on the test split; ``None`` without an evaluation.
        test_metrics: of the newest evaluation, or of a challenger's comparison.
        tested_on: data set of the evaluation's test images.
        no_test: why there is no evaluation; "" if there is one.
        accuracy_is: what people call the accuracy, as far as the task is known.
        stages: where it is deployed.
        challenge: what became of it as a challenger; ``None``: it was none.
    """

    version: str
    problem: str = ""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    dataset_version: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float = 0.0
    validation: Score | None = None
    test: Score | None = None
    test_metrics: Mapping[str, float] = field(default_factory=dict)
    tested_on: str = ""
    no_test: str = ""
    accuracy_is: str = "accuracy"
    stages: tuple[str, ...] = ()
    challenge: ChallengerModelRecord | None = None

    @property
    def folds(self) -> int:
        """Number of folds of the cross-validation; 1: there was none, but a validation split."""
        return _folds(self.metrics)

    @property
    def images(self) -> int | None:
        """Number of images that the model was fitted on; ``None``: unknown, as the recipe is."""
        recipe = self.hyperparameters.get("recipe", "probe" if self.folds > 1 else None)
        if recipe is None:
            return None
        # The head of a probe is fitted on both splits; of a net, the other one chooses the epoch.
        splits = ("train", "val") if recipe == "probe" else ("train",)
        return int(sum(self.metrics.get(f"{split}_images", 0) for split in splits))

    @property
    def validated_on(self) -> tuple[str, bool] | None:
        """What the validation scores are of: the data set, and whether of its training images, too;
        ``None``: unknown."""
        return (self.dataset_version, self.folds > 1) if self.dataset_version else None

    def to_json(self) -> dict[str, Any]:
        """Return values that ``json`` can serialize."""
        return {
            "model_version": self.version,
            "problem": self.problem or None,
            "dataset_version": self.dataset_version,
            "hyperparameters": dict(self.hyperparameters),
            "images": self.images,
            "started_at": self.started_at.isoformat() if self.started_at else None,
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
            "seconds": self.seconds,
            "validation": self._validation_json(),
            "test": self.test.to_json() if self.test else None,
            "tested_on": self.tested_on or None,
            "no_test": self.no_test or None,
            "metrics": dict(self.metrics),
            "test_metrics": dict(self.test_metrics),
            "stages": list(self.stages),
            "challenger": self._challenge_json(),
        }

    def _validation_json(self) -> dict[str, Any] | None:
        if self.validation is None:
            return None
        return {**self.validation.to_json(), "cross_validation_folds": self.folds}

    def _challenge_json(self) -> dict[str, Any] | None:
        if self.challenge is None:
            return None
        return self.challenge.model_dump(include={"won", "compared_with", "reason"})


def jobs_of_trainings(store: ObjectStore) -> list[str]:
    """Return the names of done training jobs, the newest first; some may be searches (imgclf tune)."""
    records = [
        info
        for info in store.list("models")
        if info.key.startswith(_PREFIX) and info.key.endswith(_RECORD) and info.key.count("/") == 2
    ]
    records.sort(key=lambda info: (info.last_modified, info.key), reverse=True)
    return [info.key.split("/")[1] for info in records]


def find_version(versions: Sequence[str], name: str) -> str:
    """Return the version that ``name`` is, or the only one that begins with it.

    Raises:
        NoSuchRun: there is none, or there are several.
    """
    if name in versions:
        return name
    found = [v for v in versions if v.startswith(name) or v.startswith(f"train-{name}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise NoSuchRun(f"{name!r} begins {len(found)} versions: {', '.join(found[:5])}")
    raise NoSuchRun(f"there is no training run {name!r}", "`imgclf runs` lists them")


def read_runs(
    store: ObjectStore, jobs: Iterable[str], stages: Mapping[str, str]
) -> Iterator[StoredRun]:
    """Read the training runs among jobs, one after the other.

    Args:
        store: with the records.
        jobs: names of done jobs.
        stages: model version by stage.
    """
    challenges = Challenges(store)
    found = (read_run(store, job, stages, challenges) for job in jobs)
    return (run for run in found if run is not None)


def read_run(
    store: ObjectStore,
    version: str,
    stages: Mapping[str, str],
    challenges: Challenges | None = None,
) -> StoredRun | None:
    """Read a training run; damage is said in it, and is no error.

    Args:
        store: with the records.
        version: of the model.
        stages: model version by stage.
        challenges: the challengers in the store; ``None``: they are read for this run.

    Returns:
        The run; ``None`` if the job of that name trained no model, but searched for hyperparameters.
    """
    try:
        job = read_job(store, version)
    except DamagedObject as damage:
        return StoredRun(version, problem=f"{damage.key} is damaged ({damage.flaw})")
    if job is None:
        return StoredRun(version, problem="its record was deleted")
    if job.get("module", _MODULE) != _MODULE:
        return None
    challenges = challenges or Challenges(store)
    challenge = challenges.of(version)
    given = job.get("hyperparameters", {})
    metrics = _numbers(job["metadata"])
    started_at, ended_at = job_times(job)
    return StoredRun(
        version,
        hyperparameters={
            name: _decoded(text) for name, text in given.items() if name not in NOT_HYPERPARAMETERS
        },
        dataset_version=given.get("dataset_version", ""),
        metrics=metrics,
        started_at=started_at,
        ended_at=ended_at,
        seconds=float(job["seconds"]),
        validation=_validation(metrics),
        stages=tuple(stage for stage, deployed in stages.items() if deployed == version),
        challenge=challenge,
        **_evaluated(store, version, challenge, challenges),
    )


def deployed_versions(store: ObjectStore) -> dict[str, str]:
    """Return the model version of the newest deployment record of each stage."""
    newest = {stage: newest_key(store, records_prefix(stage)) for stage in STAGES}
    return {stage: version_in(key) for stage, key in newest.items() if key}


def _evaluated(
    store: ObjectStore,
    version: str,
    challenge: ChallengerModelRecord | None,
    challenges: Challenges,
) -> dict[str, Any]:
    try:
        record = newest_evaluation(store, version)
        if record is None and challenge is not None:
            # One that did not become the candidate was evaluated in its comparison alone.
            record = challenges.scores(challenge)
    except DamagedObject as damage:
        return {"no_test": f"{damage.key} is damaged ({damage.flaw})"}
    if record is None:
        # A record that cannot be read may be this model's.
        unread = challenges.damage if challenge is None else ""
        return {"no_test": f"not evaluated ({unread})" if unread else "not evaluated"}
    metrics = {name: float(value) for name, value in record["metrics"].items()}
    low, high = metrics.get("accuracy_low"), metrics.get("accuracy_high")
    measured = (low, high) if low is not None and high is not None else None
    images = int(metrics.get("test_images", 0))
    return {
        "test": Score(metrics["accuracy"], images, measured) if "accuracy" in metrics else None,
        "accuracy_is": accuracy_name(record["task"]),
        "test_metrics": metrics,
        "tested_on": record["dataset_version"],
    }


def _validation(metrics: Mapping[str, float]) -> Score | None:
    if "val_accuracy" not in metrics:
        return None
    images = metrics.get("val_images", 0)
    if _folds(metrics) > 1:  # every image was held out once
        images += metrics.get("train_images", 0)
    return Score(metrics["val_accuracy"], int(images))


def _folds(metrics: Mapping[str, float]) -> int:
    return int(metrics.get("cross_validation_folds", 1))


def _numbers(metadata: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the numbers of metadata in the form of Pipes."""
    raw = {name: item.get("raw_value") for name, item in metadata.items()}
    return {
        name: float(value)
        for name, value in raw.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # a plain text
        return text
