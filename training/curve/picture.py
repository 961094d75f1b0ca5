"""A picture of the learning curves, for Dagster's pages."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from labelling.report.curve_report import CurveReport
from training.evaluation.plots import picture_file, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NOW, _BAND, _GREY = "#2a7f62", "#9cc5b5", "#666666"


def draw_curves(path: Path, report: CurveReport) -> None:
    """Draw the score against the number of labels with its forecast, and each class's gain.

    Args:
        path: of the PNG file to write.
        report: to draw.
    """
    measured = [one for one in report.classes if one.gain is not None]
    height = max(3.6, 1.4 + 0.36 * len(measured))
    with picture_file(path, 10, height) as figure:
        left, right = figure.subplots(1, 2)
        _draw_score(left, report)
        _draw_gains(right, report)


def _draw_score(axes: "Axes", report: CurveReport) -> None:
    points = report.points
    for size, scores in zip(points.sizes, points.scores, strict=True):
        axes.plot([size] * len(scores), scores, ".", ms=4, color=_GREY)
    if report.forecast:
        sizes = [one.labels for one in report.forecast]
        bounds = np.array([[one.score.low, one.score.high] for one in report.forecast], float)
        axes.fill_between(sizes, *bounds.T, color=_BAND, alpha=0.5, label="80% interval of the law")
        axes.plot(sizes, [one.score.value or 0.0 for one in report.forecast], color=_NOW)
        axes.legend(loc="lower right", frameon=False, fontsize=8)
    axes.axvline(report.labels, color=_GREY, linewidth=0.8, linestyle=":")
    axes.set(xlabel="labelled training images", ylabel=report.score_name)
    axes.set_title(f"{report.score:.1%} with {report.measured:,} labels", fontsize=10)
    axes.grid(color="#dddddd")


def _draw_gains(axes: "Axes", report: CurveReport) -> None:
    measured = [one for one in report.classes if one.gain is not None]
    for place, one in enumerate(measured):
        assert one.gain is not None
        low, value, high = (100 * (v or 0) for v in (one.gain.low, one.gain.value, one.gain.high))
        axes.plot([low, high], [place, place], color=_BAND, linewidth=5, solid_capstyle="butt")
        axes.plot(value, place, "o", ms=5, color=_NOW)
    axes.axvline(0, color=_GREY, linewidth=0.8)
    axes.set_yticks(range(len(measured)), [f"{one.more} of {short(one.label)}" for one in measured])
    axes.set_ylim(len(measured) - 0.5, -0.5)
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    axes.set_xlabel("points of F1, with the 80% interval")
    axes.set_title("what more labels would bring", fontsize=10)
