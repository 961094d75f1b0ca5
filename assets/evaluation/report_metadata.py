"""An evaluation's report as metadata of Dagster: scores, the table of classes, pictures."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import dagster as dg

from assets import markdown
from assets.evaluation.champion import Champion
from assets.evaluation.scores import accuracy_name, numbers_of
from assets.pictures import optional_picture, picture

PICTURES = (
    "confusion_matrix.png",
    "mistakes.png",
    "per_class.png",
    "reliability.png",
    "roc_and_precision_recall.png",
)
SET_ASIDE_SHOWN = 50


def report_metadata(
    report: Mapping[str, Any], found: Champion, outputs: Mapping[str, bytes], job: str
) -> dict[str, Any]:
    """Return what a person wants to see of an evaluation.

    Args:
        report: content of ``report.json``.
        found: the champion, or why there is none.
        outputs: files that the evaluation's job wrote, by name.
        job: name of that job.
    """
    champion = found.record
    against = champion_scores(report) if champion else {"no_champion": found.why_none}
    return {
        **scores(report),
        "test_images": report["n_test"],
        "accuracy_is": accuracy_name(report["task"]),
        "champion": champion.model_version if champion else "none",
        **against,
        "scores_by_class": dg.MetadataValue.md(per_class_table(report)),
        **_thresholds_of_two(report),
        **_set_aside(report),
        **_pictures(outputs, job),
    }


def scores(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the headline scores and the number of test images that they are based on."""
    return {**numbers_of(report, report["task"]), "test_images": float(report["n_test"])}


def champion_scores(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the champion's headline scores; empty if there is no champion."""
    champion = report["champion"]
    found = numbers_of(champion, report["task"]) if champion else {}
    return {f"champion_{name}": value for name, value in found.items()}


def per_class_table(report: Mapping[str, Any]) -> str:
    """Scores of each class as a Markdown table; of several labels with their thresholds."""
    columns = {
        "precision": "precision",
        "recall": "recall",
        "f1": "F1",
        "average_precision": "average precision",
    }
    thresholds = report.get("thresholds") or {}

    def row(label: str, found: Mapping[str, Any]) -> list[object]:
        shown = [found.get(name) for name in columns]
        if thresholds:
            shown.append(thresholds.get(label))
        numbers = ("" if value is None else f"{value:.3f}" for value in shown)
        return [label, *numbers, found["support"]]

    named = [*columns.values(), *(["threshold"] if thresholds else [])]
    rows = (row(label, found) for label, found in report["per_class"].items())
    return markdown.table(["class", *named, "test images"], rows)


def _thresholds_of_two(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ROC area of a model of two classes, and the scores of some thresholds."""
    binary = report.get("binary")
    if not binary:
        return {}
    names = ("precision", "recall", "false_positive_rate")
    rows = (
        [f"{point['threshold']:g}", *(f"{point[name]:.3f}" for name in names)]
        for point in binary["points"]
    )
    positive = markdown.prose(binary["positive"])
    columns = [
        f"{positive} from a probability of",
        "precision",
        "recall",
        "share of the others taken for it",
    ]
    return {
        "roc_auc": binary["roc_auc"],
        "scores_by_threshold": dg.MetadataValue.md(markdown.table(columns, rows)),
    }


def _pictures(outputs: Mapping[str, bytes], job: str) -> dict[str, dg.MetadataValue]:
    shown: dict[str, dg.MetadataValue] = {}
    for name in PICTURES:
        if name in outputs:
            link = f"models/{job}/processing/{name}"
            draw = partial(picture, outputs[name], alt=name, link=link)
            shown |= optional_picture(name.removesuffix(".png"), draw)
    return shown


def _set_aside(report: Mapping[str, Any]) -> dict[str, dg.MetadataValue]:
    """Return a table of the images that could not be read; empty if all could."""
    aside = list(report.get("set_aside", {}).items())[:SET_ASIDE_SHOWN]
    if not aside:
        return {}
    rows = ([markdown.code(key), reason] for key, reason in aside)
    return {"images set aside": dg.MetadataValue.md(markdown.table(["image", "reason"], rows))}
