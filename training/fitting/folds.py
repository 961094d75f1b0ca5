"""Folds of a cross-validation that keep near-duplicates together."""

import warnings

import numpy as np

FOLDS = 5


def folds_of(targets: np.ndarray, groups: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divide images into folds with about the same share of each class; no group is divided.

    Args:
        targets: int64 [n], or float32 [n, classes] of 0 and 1, whose combinations are balanced.
        groups: str [n], near-duplicate group of each image.

    Returns:
        Rows to fit on and rows held out, for each fold; empty with fewer than two groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    count = min(FOLDS, len(np.unique(groups)))
    if count < 2:
        return []
    classes = targets
    if targets.ndim == 2:
        classes = np.unique(targets, axis=0, return_inverse=True)[1].ravel()
    divider = StratifiedGroupKFold(count, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer images than folds
        found = list(divider.split(np.zeros(len(classes)), classes, groups))
    return [(fit_on, held) for fit_on, held in found if len(held) and len(fit_on)]
