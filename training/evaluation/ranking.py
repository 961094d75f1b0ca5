"""Scores of the order that probabilities give, whatever the threshold. Pure functions of arrays."""

import numpy as np


def average_precision(
    truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Compute the average precision of one label: the area below its precision-recall curve.

    Without interpolation: the mean precision at each image with the label, as of
    ``sklearn.metrics.average_precision_score``.

    Args:
        truth: bool [n], at least one true.
        probabilities: float [n].
        weights: float [k, n], k weightings of the images.

    Returns:
        float [k], in [0, 1].
    """
    found, given = _cumulated(truth, probabilities, weights)
    gained = np.diff(found, axis=1, prepend=0)
    precision = found / np.maximum(given, np.finfo(float).tiny)
    return (gained * precision).sum(axis=1) / found[:, -1]


def curve(
    truth: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Compute precision, recall and false-positive rate of each threshold, the highest first.

    Args:
        truth: bool [n], with both values.
        probabilities: float [n].

    Returns:
        Thresholds (each a probability; it and higher ones are predicted), precision, recall and
        false-positive rate, float [t].
    """
    found, given = (row[0] for row in _cumulated(truth, probabilities, np.ones((1, len(truth)))))
    thresholds = np.unique(probabilities)[::-1]
    positives = truth.sum()
    return (
        thresholds,
        found / given,
        found / positives,
        (given - found) / (len(truth) - positives),
    )


def roc_auc(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Compute the area below the ROC curve (truth: bool [n], with both values), in [0, 1]."""
    _, _, recall, false_positives = curve(truth, probabilities)
    return float(np.trapezoid(np.r_[0, recall], np.r_[0, false_positives]))


def _cumulated(
    truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum the weights of true and of all images at and above each distinct probability: float [k, t]."""
    order = np.argsort(-probabilities, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(probabilities[order])), len(order) - 1]
    sorted_weights = weights[:, order]
    found = np.cumsum(sorted_weights * truth[order], axis=1)[:, ends]
    return found, np.cumsum(sorted_weights, axis=1)[:, ends]
