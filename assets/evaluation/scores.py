"""Scores of one model in a report: as numbers by name, as a sentence, and whether they say enough."""

from collections.abc import Mapping
from math import ceil
from typing import Any

HEADLINES = ("accuracy", "macro_f1", "log_loss", "calibration_error")
OF_SEVERAL_LABELS = ("micro_f1", "mean_average_precision")

WIDEST_INTERVAL = 0.1
"""Widest 95 % interval of accuracy or macro-F1 with which a test split says enough: within a wider one
lie good models and mediocre ones."""

_JUDGED = ("accuracy", "macro_f1")
_NAMED_CLASSES = 3


def numbers_of(model: Mapping[str, Any], task: str) -> dict[str, float]:
    """Return the scores of a model by name, with the ends of their intervals (``accuracy_low``).

    Args:
        model: ``training.evaluation.report.Scores`` as JSON; those of older versions have no
            intervals.
        task: single_label or multi_label.
    """
    names = [*HEADLINES, *(OF_SEVERAL_LABELS if task == "multi_label" else ())]
    found = {name: float(model[name]) for name in names if model.get(name) is not None}
    for name, (low, high) in (model.get("intervals") or {}).items():
        found |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return found


def is_too_wide(numbers: Mapping[str, float]) -> bool:
    """Whether the intervals are too wide to tell how good the model is; unknown ones are not."""
    return widest_interval(numbers) > WIDEST_INTERVAL


def widest_interval(numbers: Mapping[str, float]) -> float:
    """Return the width of the wider interval of accuracy and macro-F1; 0 if unknown."""
    return max(
        numbers.get(f"{name}_high", 0.0) - numbers.get(f"{name}_low", 0.0) for name in _JUDGED
    )


def accuracy_name(task: str) -> str:
    """Return what people call ``accuracy``: of several labels, the share with exactly theirs."""
    return "subset accuracy" if task == "multi_label" else "accuracy"


def sentence(numbers: Mapping[str, float], task: str) -> str:
    """Return the scores for a line of a page: where intervals are wide, the main ones with those.

    Args:
        numbers: of ``numbers_of``.
        task: single_label or multi_label.
    """
    shown = {"accuracy": accuracy_name(task), "macro_f1": "macro-F1"}
    if not is_too_wide(numbers):
        if task == "multi_label":
            shown |= {"micro_f1": "micro-F1", "mean_average_precision": "mAP"}
        return _listed(numbers, shown, "")
    told = ", ".join(
        f"{title} {numbers[name]:.3f}{_interval(numbers, name)}"
        for name, title in shown.items()
        if name in numbers
    )
    cross = _listed(numbers, shown, "cross_validated_")
    beside = f"; cross-validated: {cross}" if cross else ""
    return f"{told} (too few images to tell{beside})"


def _listed(numbers: Mapping[str, float], shown: Mapping[str, str], prefix: str) -> str:
    return ", ".join(
        f"{title} {numbers[prefix + name]:.3f}"
        for name, title in shown.items()
        if prefix + name in numbers
    )


def _interval(numbers: Mapping[str, float], name: str) -> str:
    if f"{name}_low" not in numbers:
        return ""
    return f" (95 %: {numbers[f'{name}_low']:.2f} to {numbers[f'{name}_high']:.2f})"


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
        f"the fewest: {named}."
    )


def _round(number: float) -> str:
    """Round to two digits."""
    return f"{ceil(float(f'{number:.2g}')):,}"
