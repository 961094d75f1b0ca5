"""Scores that may stand side by side: those that models got on the very same test images."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assets.evaluation.records import newest_evaluation
from resources.store.errors import StoreError
from resources.store.object_store import ObjectStore

SHOWN = ("accuracy", "macro_f1", "log_loss", "calibration_error")


@dataclass
class Scores:
    """What one evaluation measured on its test images: of the candidate, and of the champion beside
    it; and of every other model that was evaluated on the same data set."""

    store: ObjectStore
    dataset_version: str = ""
    test_images: int = 0
    by_digest: dict[str, Mapping[str, float]] = field(default_factory=dict)

    def of(self, model_version: str, digest: str) -> dict[str, Any]:
        """A model's scores on these images, or why there are none."""
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
    """The scores of the newest evaluation of the first of ``versions`` that has one."""
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
