"""Scores that can be compared: those measured on the same test images."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assets.evaluation.records import newest_evaluation
from object_store.errors import StoreError
from object_store.store import ObjectStore

SHOWN = ("accuracy", "macro_f1", "log_loss", "calibration_error")


@dataclass
class Scores:
    """Scores of several models on the test images of one evaluation.

    Attributes:
        store: holds the evaluation records.
        dataset_version: data set of the test images.
        test_images: number of test images.
        by_digest: scores of the candidate and the champion, by digest of the model.
    """

    store: ObjectStore
    dataset_version: str = ""
    test_images: int = 0
    by_digest: dict[str, Mapping[str, float]] = field(default_factory=dict)

    def of(self, model_version: str, digest: str) -> dict[str, Any]:
        """Return a model's scores on these test images, or why there are none.

        A model evaluated separately on the same data set has its own evaluation's scores.
        """
        metrics = self.by_digest.get(digest)
        why = ""
        if metrics is None:
            own = _record(self.store, model_version)
            if own is not None and own["dataset_version"] == self.dataset_version:
                metrics = {name: own["metrics"][name] for name in SHOWN if name in own["metrics"]}
            else:
                why = "it was not measured on these test images"
        return {
            "metrics": dict(metrics or {}),
            "test_images": self.test_images if metrics else 0,
            "scored_on": self.dataset_version if metrics else "",
            "no_scores": why,
        }


def same_images(store: ObjectStore, versions: Sequence[str]) -> Scores:
    """Return the scores of the first of ``versions`` that has a readable evaluation."""
    for version in versions:
        record = _record(store, version)
        if record is None:
            continue
        try:
            report = json.loads(store.get(f"models/{record['job']}/processing/report.json"))
            scores = Scores(store, report["dataset_version"], int(report["n_test"]))
            for model in (report, report["champion"] or {}):
                if model:
                    scores.by_digest[model["digest"]] = {name: model[name] for name in SHOWN}
        except (
            StoreError,
            ValueError,
            KeyError,
            TypeError,
            RecursionError,
        ):  # `doctor --store` names what is damaged
            continue
        return scores
    return Scores(store)


def _record(store: ObjectStore, version: str) -> dict[str, Any] | None:
    try:
        return newest_evaluation(store, version)
    except (StoreError, ValueError):
        return None
