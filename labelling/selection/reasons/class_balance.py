"""Reason: the image may have a label that few labelled images have."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from labelling.selection.pool import Pool


class ClassBalance:
    """How rare the predicted labels are among the labelled images.

    A label with at least the mean number of images scores 0; one without images scores fully.
    """

    name = "class_balance"

    def scores(self, pool: "Pool") -> np.ndarray:
        found = np.zeros(len(pool), np.float32)
        if pool.probabilities is None:
            return found
        rows = pool.predicted
        lack = pool.probabilities[rows] * _shortfall(pool)
        found[rows] = lack.max(1) if pool.task == "multi_label" else lack.sum(1)
        return found

    def why(self, pool: "Pool", index: int) -> str:
        assert pool.probabilities is not None
        row = pool.probabilities[index]
        label = int((row * _shortfall(pool)).argmax())
        name = pool.labels[label]
        return (
            f"maybe {name} ({row[label]:.2f}), of which {pool.labelled_counts.get(name, 0)} are "
            f"labelled where {_counts(pool).mean():.0f} is the mean"
        )


def _counts(pool: "Pool") -> np.ndarray:
    return np.array([pool.labelled_counts.get(label, 0) for label in pool.labels], np.float32)


def _shortfall(pool: "Pool") -> np.ndarray:
    """For each label, the share by which it is below the mean count: float32 [k]."""
    counts = _counts(pool)
    if not counts.any():
        return np.zeros_like(counts)
    return np.maximum(0, 1 - counts / counts.mean())
