"""How sure the scores of a small test split are: its intervals, cross-validated scores, what to label."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets import markdown
from assets.evaluation.scores import (
    accuracy_name,
    is_too_wide,
    numbers_of,
    too_few,
    what_to_label,
)
from object_store.contents.damage import DamagedObject
from object_store.contents.reading import parse_object
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from training.evaluation.report import CrossValidation

CROSS_VALIDATION = "cross_validation.json"
"""A file of the training job of a probe; see ``training.train``."""


def read_cross_validation(
    store: ObjectStore, compute: Compute, model_version: str
) -> dict[str, Any] | None:
    """Return the cross-validated scores of a model; ``None`` if its job made none.

    Args:
        store: holds the outputs of jobs.
        compute: reads them.
        model_version: name of the model version.
    """
    try:
        data = compute.open_output(model_version, CROSS_VALIDATION, "training")
        key = f"models/{model_version}/output/output.tar.gz"
        return parse_object(store, key, data, CrossValidation)
    except (KeyMissing, DamagedObject):  # they are beside the scores that decide
        return None


def certainty(
    report: Mapping[str, Any], test_share: float, cross: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return metadata about the certainty of a report's scores; empty if the test split is large enough.

    Args:
        report: content of ``report.json``.
        test_share: share of the labelled images that become test images, in [0, 1].
        cross: cross-validated scores (``training.evaluation.report.CrossValidation``).
    """
    numbers = numbers_of(report, report["task"])
    if not is_too_wide(numbers):
        return {}
    labels = markdown.prose(what_to_label(report, test_share))
    parts = [too_few(report), _table(report, cross), labels]
    found: dict[str, Any] = {"certainty": dg.MetadataValue.md("\n\n".join(parts))}
    if cross is not None:
        found |= cross_validated_numbers(cross, report["task"])
    return found


def cross_validated_numbers(cross: Mapping[str, Any], task: str) -> dict[str, float]:
    """Return the scores by name, each with the prefix ``cross_validated_``."""
    return {f"cross_validated_{name}": value for name, value in numbers_of(cross, task).items()}


def _table(report: Mapping[str, Any], cross: Mapping[str, Any] | None) -> str:
    task = report["task"]
    titles = {"accuracy": accuracy_name(task), "macro_f1": "macro-F1"}
    if task == "multi_label":
        titles |= {"micro_f1": "micro-F1", "mean_average_precision": "mAP"}
    rows = [["test split, from which nothing was learnt", report["n_test"], report]]
    if cross is not None:
        what = (
            f"cross-validation over the training and validation images ({cross['folds']} folds; the "
            "models of the folds learnt from fewer images than this one)"
        )
        rows.append([what, cross["images"], cross])

    def cells(scores: Mapping[str, Any]) -> list[str]:
        numbers = numbers_of(scores, task)
        return [
            f"{numbers[name]:.3f} ({numbers[f'{name}_low']:.2f} to {numbers[f'{name}_high']:.2f})"
            if f"{name}_low" in numbers
            else ""
            for name in titles
        ]

    shown = ([what, images, *cells(scores)] for what, images, scores in rows)
    return markdown.table(["measured on", "images", *titles.values()], shown)
