"""The picture of a model of two classes: its ROC curve and its precision-recall curve."""

from pathlib import Path

import numpy as np

from training.evaluation.plots import picture_file, short
from training.evaluation.report import BinaryScores

Curve = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Thresholds, precision, recall, false-positive rate; see ``training.evaluation.ranking.curve``."""


def draw_curves(path: Path, scores: BinaryScores, average_precision: float, drawn: Curve) -> None:
    """Draw both curves of the positive class, with the threshold of 0.5 marked.

    Args:
        path: of the PNG file to write.
        scores: of the two classes.
        average_precision: of the positive class.
        drawn: the curves.
    """
    thresholds, precision, recall, false_positives = drawn
    half = np.flatnonzero(thresholds >= 0.5)[-1:]  # none, if no image is that probable
    name = short(scores.positive)
    with picture_file(path, 9, 4.4) as figure:
        left, right = figure.subplots(1, 2)
        left.step(np.r_[0, false_positives], np.r_[0, recall], where="post", color="#2a7f62")
        left.plot([0, 1], [0, 1], "--", color="#666666", linewidth=1)
        left.plot(false_positives[half], recall[half], "o", color="#c0392b", label="threshold 0.5")
        left.set(xlabel=f"share of the others taken for {name}", ylabel=f"recall of {name}")
        left.set_title(f"ROC curve, area {scores.roc_auc:.3f}", fontsize=10)
        right.step(np.r_[0, recall], np.r_[1, precision], where="pre", color="#2a7f62")
        right.plot(recall[half], precision[half], "o", color="#c0392b", label="threshold 0.5")
        right.set(xlabel=f"recall of {name}", ylabel=f"precision of {name}")
        right.set_title(
            f"precision and recall, average precision {average_precision:.3f}", fontsize=10
        )
        for axes in (left, right):
            axes.set_xlim(-0.02, 1.02)
            axes.set_ylim(-0.02, 1.02)
            axes.grid(color="#dddddd")
            axes.legend(
                loc="lower right" if axes is left else "lower left", frameon=False, fontsize=8
            )
