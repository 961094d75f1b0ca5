"""Reason: the model is uncertain."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from labelling.selection.pool import Pool


class Uncertainty:
    """How close the model's decision is.

    With one label per image: one minus the margin between the two most probable labels (Scheffer,
    Decomain and Wrobel, "Active Hidden Markov Models for Information Extraction", IDA 2001). With
    several: how near the probabilities are to their thresholds, half the maximum and half the mean
    over the labels, so that an image that is unclear in many labels ranks above one that is unclear
    in one.

    The probabilities must be calibrated (``training.fitting.calibration``).
    """

    name = "uncertainty"

    def scores(self, pool: "Pool") -> np.ndarray:
        """Score each image: float32 [n] in 0…1, 0 without probabilities."""
        found = np.zeros(len(pool), np.float32)
        rows = pool.predicted
        if pool.probabilities is None or len(pool.labels) < 1:
            return found
        found[rows] = closeness(pool.probabilities[rows], pool)
        return found

    def why(self, pool: "Pool", index: int) -> str:
        assert pool.probabilities is not None
        row = pool.probabilities[index]
        if pool.task == "multi_label":
            near = _nearness(row[None], pool.threshold_row)[0]
            label = int(near.argmax())
            return (
                f"the model is unsure of {pool.labels[label]}: {row[label]:.2f}, and from "
                f"{pool.threshold_row[label]:.2f} on it says yes"
            )
        first, second = np.argsort(-row, kind="stable")[:2]
        return (
            f"the model is unsure: {pool.labels[first]} {row[first]:.2f}, "
            f"{pool.labels[second]} {row[second]:.2f}"
        )


def closeness(probabilities: np.ndarray, pool: "Pool") -> np.ndarray:
    """How close the decision is, as in ``Uncertainty``: float32 [n] in 0…1.

    Args:
        probabilities: float32 [n, k], all known, of the labels of ``pool``.
        pool: gives the task, the labels and the thresholds.
    """
    if pool.task == "multi_label":
        near = _nearness(probabilities, pool.threshold_row)
        return np.asarray((near.max(1) + near.mean(1)) / 2)
    if len(pool.labels) < 2:
        return np.zeros(len(probabilities), np.float32)
    top = np.partition(probabilities, -2, axis=1)[:, -2:]
    return np.asarray(1 - (top[:, 1] - top[:, 0]))


def _nearness(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """1 at the threshold, falling linearly to 0 at probability 0 and 1: [n, k] of [n, k] and
    [k]."""
    room = np.where(probabilities < thresholds, thresholds, 1 - thresholds)
    return 1 - np.abs(probabilities - thresholds) / np.maximum(room, 1e-6)
