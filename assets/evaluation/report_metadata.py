"""An evaluation's report as metadata of Dagster: scores, the table of classes, pictures."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import dagster as dg

from assets import markdown
from assets.evaluation.champion import Champion
from assets.pictures import optional_picture, picture

PICTURES = ("confusion_matrix.png", "mistakes.png", "per_class.png", "reliability.png")
HEADLINES = ("accuracy", "macro_f1", "log_loss", "calibration_error")
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
        "test_images": report["n_test"],
        **{name: report[name] for name in HEADLINES},
        "champion": champion.model_version if champion else "none",
        **against,
        "scores_by_class": dg.MetadataValue.md(per_class_table(report)),
        **_set_aside(report),
        **_pictures(outputs, job),
    }


def scores(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the headline scores and the number of test images that they are based on."""
    return {
        **{name: float(report[name]) for name in HEADLINES},
        "test_images": float(report["n_test"]),
    }


def champion_scores(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the champion's headline scores; empty if there is no champion."""
    champion = report["champion"] or {}
    return {f"champion_{name}": float(champion[name]) for name in HEADLINES if champion}


def per_class_table(report: Mapping[str, Any]) -> str:
    """Precision, recall and F1 per class as a Markdown table."""
    scores = ("precision", "recall", "f1")
    return markdown.table(
        ["class", "precision", "recall", "F1", "test images"],
        (
            [label, *(f"{row[score]:.3f}" for score in scores), row["support"]]
            for label, row in report["per_class"].items()
        ),
    )


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
