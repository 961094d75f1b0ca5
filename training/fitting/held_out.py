"""Logits of images that the model which computed them was not fitted on."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class HeldOut:
    """Logits of images, each from a model that was not fitted on it.

    Attributes:
        logits: float32 [n, classes].
        targets: as in ``LabelledImages``.
        folds: number of folds of the cross-validation; 1: the validation split.
    """

    logits: np.ndarray
    targets: np.ndarray
    folds: int = 1
