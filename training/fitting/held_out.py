"""Logits of images that the model which computed them was not fitted on."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class HeldOut:
    """Logits of images, each from a model that was not fitted on it.

    Attributes:
        logits: float32 [n, classes].
        targets: as in ``LabelledImages``.
        folds: number of folds of the cross-validation; 1: the validation split.
        fold: int [n], number of the fold that each image was held out in; empty for one.
        groups: str [n], near-duplicate group of each image; empty for one.
    """

    logits: np.ndarray
    targets: np.ndarray
    folds: int = 1
    fold: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    groups: np.ndarray = field(default_factory=lambda: np.zeros(0, str))
