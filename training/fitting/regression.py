"""Multinomial logistic regression of one column of targets, fitted at several strengths in turn."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import ThreadpoolController

_WORTH_THREADS = 20_000_000
"""Features × images from which BLAS may use all cores. Below, its threads mostly wait for each
other: 2,730 images with 1,280 features took 0.6 s on one core and 5 s on two busy ones."""

_MAX_ITERATIONS = 1000
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Linear:
    """``logits = features @ weight.T + bias``: float32 [classes, features], [classes]."""

    weight: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Compute logits: float32 [n, features] → [n, classes]."""
        return features @ self.weight.T + self.bias


class Regression:
    """Logistic regression that starts from the coefficients of the fit before.

    Args:
        targets: int [n], 0 … classes - 1; or float [n] of 0 and 1, which are two classes.
        classes: number of classes.
    """

    def __init__(self, targets: np.ndarray, classes: int) -> None:
        self._targets = targets.astype(np.int64)
        self._counts = np.bincount(self._targets, minlength=classes)
        self._model: LogisticRegression | None = None

    def fit(self, features: np.ndarray, strength: float) -> Linear:
        """Fit at an inverse regularisation strength C.

        A class without an image, which a fold of a cross-validation may have, gets the logit of half
        an image, whatever the features.

        Args:
            features: float32 [n, features], standardised.
            strength: C of scikit-learn.

        Returns:
            float64 [classes, features] and [classes].
        """
        found = np.flatnonzero(self._counts)
        weight = np.zeros((len(self._counts), features.shape[1]))
        bias = np.log(np.maximum(self._counts, 0.5) / len(self._targets))
        if len(found) > 1:
            weight[found], shift = self._fitted(features, strength)
            # The same scale as the logarithms of shares: a softmax takes no notice of a constant.
            bias[found] = shift - shift.mean() + bias[found].mean()
        return Linear(weight, bias)

    def _fitted(self, features: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """Return weights and biases of the classes that have images."""
        from sklearn.linear_model import LogisticRegression

        if self._model is None:
            self._model = LogisticRegression(
                max_iter=_MAX_ITERATIONS, tol=_TOLERANCE, warm_start=True
            )
        self._model.C = strength
        limit = 1 if features.size < _WORTH_THREADS else None
        with _thread_pools().limit(limits=limit, user_api="blas"):
            self._model.fit(features, self._targets)
        weight, bias = self._model.coef_, self._model.intercept_
        if len(weight) > 1:
            return weight, bias
        # For two classes scikit-learn has only the difference of the logits: each class gets half.
        return np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2


@cache
def _thread_pools() -> "ThreadpoolController":
    """Return what limits the threads of linear algebra."""
    # Made once: it reads the list of the process's libraries, which takes longer than a small fit.
    from sklearn import linear_model  # noqa: F401 (the controller knows only what is loaded)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
