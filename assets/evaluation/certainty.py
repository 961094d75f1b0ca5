"""How sure the scores of a small test split are: its intervals, cross-validated scores, what to label."""

from collections.abc import Mapping
from math import ceil
from typing import Any

import dagster as dg

from assets import markdown
from assets.evaluation.scores import (
    WIDEST_INTERVAL,
    accuracy_name,
    is_too_wide,
    numbers_of,
    widest_interval,
)
from object_store.contents.damage import DamagedObject
from object_store.contents.reading import parse_object
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from training.evaluation.report import CrossValidation

CROSS_VALIDATION = "cross_validation.json"
"""A file of the training job of a probe; see ``training.train``."""

_NAMED_CLASSES = 3


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
    parts = [too_few(report), _table(report, cross), what_to_label(report, test_share)]
    found: dict[str, Any] = {"certainty": dg.MetadataValue.md("\n\n".join(parts))}
    if cross is not None:
        found |= cross_validated_numbers(cross, report["task"])
    return found


def cross_validated_numbers(cross: Mapping[str, Any], task: str) -> dict[str, float]:
    """Return the scores by name, each with the prefix ``cross_validated_``."""
    return {f"cross_validated_{name}": value for name, value in numbers_of(cross, task).items()}


def too_few(report: Mapping[str, Any]) -> str:
    """Return a sentence about a test split that is too small."""
    width = widest_interval(numbers_of(report, report["task"]))
    return (
        f"{report['n_test']} test images are too few to tell how good the model is: 95 % intervals of "
        f"{accuracy_name(report['task'])} and macro-F1 are up to {width:.2f} wide, more than "
        f"{WIDEST_INTERVAL:g}."
    )


def what_to_label(report: Mapping[str, Any], test_share: float) -> str:
    """Return a sentence: how many more images of which classes would be enough.

    Args:
        report: content of ``report.json``.
        test_share: share of the labelled images that become test images, in [0, 1].
    """
    width, now = widest_interval(numbers_of(report, report["task"])), report["n_test"]
    # An interval becomes narrower with the square root of the number of images.
    more = max(1.0, now * ((width / WIDEST_INTERVAL) ** 2 - 1))
    labelled = f" (to label about {_round(more / test_share)} more)" if test_share else ""
    rare = sorted(report["per_class"].items(), key=lambda pair: (pair[1]["support"], pair[0]))
    named = ", ".join(f"{label} ({found['support']})" for label, found in rare[:_NAMED_CLASSES])
    return (
        f"About {_round(more)} more test images would be enough{labelled}, above all of the classes with "
        f"the fewest: {markdown.prose(named)}."
    )


def _round(number: float) -> str:
    """Round to two digits."""
    return f"{ceil(float(f'{number:.2g}')):,}"


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
