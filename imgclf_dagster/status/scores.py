"""Scores that can be compared: those measured on the same test images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

from assets.evaluation.records import newest_evaluation
from assets.evaluation.scores import is_too_wide, numbers_of, too_few, what_to_label
from object_store.contents.damage import DamagedObject
from object_store.contents.reading import read_object
from object_store.errors import StoreError
from object_store.store import ObjectStore


class _Measured(BaseModel):
    """Scores of one model in a report."""

    model_config = ConfigDict(extra="ignore")

    digest: str
    accuracy: float
    macro_f1: float
    log_loss: float
    calibration_error: float
    micro_f1: float | None = None
    mean_average_precision: float | None = None
    intervals: dict[str, tuple[float, float]] = {}


class _Support(BaseModel):
    """Test images of a class."""

    model_config = ConfigDict(extra="ignore")

    support: int


class _Report(_Measured):
    """What a report must have; it says more."""

    dataset_version: str
    task: str = "single_label"
    n_test: int
    per_class: dict[str, _Support] = {}
    champion: _Measured | None


@dataclass
class Scores:
    """Scores of several models on the test images of one evaluation.

    Attributes:
        store: holds the evaluation records.
        dataset_version: data set of the test images.
        test_images: number of test images.
        task: of the data set.
        to_label: what to label if the test images are too few to tell how good a model is, else "".
        by_digest: scores of the candidate and the champion, by digest of the model.
        note: called with each error of reading.
        damaged: what could not be read, by model version.
    """

    store: ObjectStore
    dataset_version: str = ""
    test_images: int = 0
    task: str = "single_label"
    to_label: str = ""
    by_digest: dict[str, Mapping[str, float]] = field(default_factory=dict)
    note: Callable[[Exception], None] = lambda error: None
    damaged: dict[str, str] = field(default_factory=dict)

    def of(self, model_version: str, digest: str) -> dict[str, Any]:
        """Return a model's scores on these test images, or why there are none.

        A model evaluated separately on the same data set has its own evaluation's scores.
        """
        metrics = self.by_digest.get(digest)
        why = ""
        own = self.record(model_version)
        if metrics is not None:
            metrics = {**metrics, **_cross_validated(own)}
        else:
            if own is not None and own["dataset_version"] == self.dataset_version:
                metrics = {**own["metrics"]}
                metrics.pop("test_images", None)
            else:
                why = "it was not measured on these test images"
            if not metrics and (key := self.damaged.get(model_version)):
                why = f"{key} is damaged"
        return {
            "task": self.task,
            "metrics": dict(metrics or {}),
            "test_images": self.test_images if metrics else 0,
            "scored_on": self.dataset_version if metrics else "",
            "no_scores": why,
        }

    def record(self, version: str) -> dict[str, Any] | None:
        """Return a model's newest evaluation; ``None`` without a readable one."""
        try:
            return newest_evaluation(self.store, version)
        except (StoreError, ValueError) as error:
            self.keep(version, error)
            return None

    def keep(self, version: str, error: Exception) -> None:
        """Keep an error of reading, to be shown."""
        self.note(error)
        if isinstance(error, DamagedObject):
            self.damaged.setdefault(version, error.key)


def _cross_validated(record: Mapping[str, Any] | None) -> dict[str, float]:
    """Return the scores of a record that are not in a report: those of the training job."""
    return {
        name: value
        for name, value in (record["metrics"] if record else {}).items()
        if name.startswith("cross_validated_")
    }


def same_images(
    store: ObjectStore,
    versions: Sequence[str],
    note: Callable[[Exception], None],
    test_share: float,
) -> Scores:
    """Return the scores of the first of ``versions`` that has a readable evaluation.

    Args:
        store: holds evaluations and reports.
        versions: model versions.
        note: called with each error of reading.
        test_share: share of the labelled images that become test images, in (0, 1).
    """
    scores = Scores(store, note=note)
    for version in versions:
        record = scores.record(version)
        if record is None:
            continue
        try:
            key = f"models/{record['job']}/processing/report.json"
            report = read_object(store, key, _Report)
        except StoreError as error:
            scores.keep(version, error)
            continue
        scores.dataset_version, scores.test_images = report["dataset_version"], report["n_test"]
        scores.task = report.get("task", "single_label")
        known = {"per_class": {}, **report, "task": scores.task}  # older reports lack some
        if is_too_wide(numbers_of(known, scores.task)):
            scores.to_label = f"{too_few(known)} {what_to_label(known, test_share)}"
        for model in (report, report["champion"] or {}):
            if model:
                scores.by_digest[model["digest"]] = numbers_of(model, scores.task)
        return scores
    return scores
