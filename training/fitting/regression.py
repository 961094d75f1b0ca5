"""Multinomial logistic regression of one column of targets, fitted at several strengths in turn."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from training.fitting.preconditioned import fit_preconditioned, gram

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import ThreadpoolController

_MANY = 20_000_000
"""Features × images from which ``fit_preconditioned`` is faster. Below, BLAS uses one core: its threads
mostly wait for each other, 2,730 images with 1,280 features took 0.6 s on one core and 5 s on two busy
ones."""

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
        guess: a regression of the same features and classes, from whose coefficients the first fit
            starts.
    """

    def __init__(
        self, targets: np.ndarray, classes: int, guess: "Regression | None" = None
    ) -> None:
        self._targets = targets.astype(np.int64)
        self._counts = np.bincount(self._targets, minlength=classes)
        self._model: LogisticRegression | None = None
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        if guess is not None and ((guess._counts > 0) == (self._counts > 0)).all():
            self._model, self._last = copy(guess._model), guess._last

    def fit(
        self,
        features: np.ndarray,
        strength: float,
        products: Callable[[], np.ndarray] | None = None,
    ) -> Linear:
        """Fit at an inverse regularisation strength C.

        A class without an image, which a fold of a cross-validation may have, gets the logit of half
        an image, whatever the features.

        Args:
            features: float32 [n, features], standardised.
            strength: C of scikit-learn.
            products: returns ``gram(features)``, which several regressions may share.

        Returns:
            float64 [classes, features] and [classes].
        """
        found = np.flatnonzero(self._counts)
        weight = np.zeros((len(self._counts), features.shape[1]))
        bias = np.log(np.maximum(self._counts, 0.5) / len(self._targets))
        if len(found) > 1:
            if features.size < _MANY:
                weight[found], shift = self._fitted(features, strength)
            else:
                given = products or (lambda: gram(features))
                weight[found], shift = self._fitted_to_many(features, strength, given, found)
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
        with _thread_pools().limit(limits=1, user_api="blas"):
            self._model.fit(features, self._targets)
        weight, bias = self._model.coef_, self._model.intercept_
        if len(weight) > 1:
            return weight, bias
        # For two classes scikit-learn has only the difference of the logits: each class gets half.
        return np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2

    def _fitted_to_many(
        self,
        features: np.ndarray,
        strength: float,
        products: Callable[[], np.ndarray],
        found: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return weights and biases of the classes that have images.

        Args:
            features: as in ``fit``.
            strength: as in ``fit``.
            products: returns ``gram(features)``.
            found: the classes that have images.
        """
        if self._last is None:
            self._last = np.zeros((len(found), features.shape[1])), np.zeros(len(found))
        # Of two classes scikit-learn penalises the difference of the weights, which is twice each.
        scaled = strength / 2 if len(found) == 2 else strength
        places = np.searchsorted(found, self._targets)
        with _thread_pools().limit(limits=1, user_api="blas"):
            self._last = fit_preconditioned(
                features, places, scaled, products(), self._last, _TOLERANCE
            )
        return self._last


@cache
def _thread_pools() -> "ThreadpoolController":
    """Return what limits the threads of linear algebra."""
    # Made once: it reads the list of the process's libraries, which takes longer than a small fit.
    from sklearn import linear_model  # noqa: F401 (the controller knows only what is loaded)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
