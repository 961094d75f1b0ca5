"""The probe, refitted many times on subsets: fast enough for learning curves.

Features are standardised and projected onto their principal axes once; the axes with nearly all of
the variance are kept. Logistic regression with an L2 penalty is invariant to the rotation. The
regularisation strength is chosen once, on all training images, as for the probe: the penalty is a
prior, and a prior does not depend on the number of labels.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from training.artefact.artefact import Task

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

AXES = 128
"""Principal axes kept. On the scenes (2,730 images, 1,280 features of MobileNetV2) a fit then takes
0.05 s instead of 0.66 s, and the accuracy differs by 0.4 points."""

_AXES_FROM = 5000
"""Most images from which the axes are computed."""

STRENGTHS = tuple(float(c) for c in np.logspace(-4, 0, 9))
_MAX_ITERATIONS = 300
_TOLERANCE = 1e-3
_FEWEST = 2
"""Images that a class must have, and others must lack it, for a classifier to be fitted."""


@dataclass(frozen=True)
class Marks:
    """Scores on the held-out images.

    Attributes:
        score: accuracy (single_label) or macro F1 (multi_label), in [0, 1].
        f1: float64 [classes]; NaN for a class that no held-out image has.
    """

    score: float
    f1: np.ndarray


class Refit:
    """Fits the probe on subsets of the training images and scores it on the held-out ones.

    Args:
        features: float32 [n, d], of the training images.
        truth: bool [n, classes], labels of the training images.
        held: float32 [m, d], features of the held-out images.
        held_truth: bool [m, classes], labels of the held-out images.
        task: single_label or multi_label.
    """

    def __init__(
        self,
        features: np.ndarray,
        truth: np.ndarray,
        held: np.ndarray,
        held_truth: np.ndarray,
        task: Task,
    ) -> None:
        self._truth, self._held_truth, self._task = truth, held_truth, task
        self._has_negatives = not truth.any(1).all()
        self._one_thread = _one_thread()
        with self._one_thread():
            self._x, self._held = _on_axes(features, held)
            self._strength = self._best_strength()

    def marks(self, chosen: np.ndarray) -> Marks:
        """Score the probe fitted on the images at positions ``chosen``, int64 [k]."""
        with self._one_thread():
            logits = self._logits(chosen, self._strength)
            decided = _decided(logits, self._task, none=self._has_negatives)
        return marks_of(decided, self._held_truth, self._task)

    def _best_strength(self) -> float:
        """Return the strength with the lowest log-loss on the held-out images."""
        every = np.arange(len(self._x))
        best, least = STRENGTHS[0], np.inf
        for strength in STRENGTHS:
            loss = _log_loss(self._logits(every, strength), self._held_truth, self._task)
            if loss > least:
                break
            best, least = strength, loss
        return best

    def _logits(self, chosen: np.ndarray, strength: float) -> np.ndarray:
        """Fit and compute the logits of the held-out images, float64 [m, classes]."""
        x, truth = self._x[chosen], self._truth[chosen]
        if self._task == "multi_label":
            columns = [self._binary(x, column, strength) for column in truth.T]
            return np.stack(columns, axis=1)
        return self._multinomial(x, truth.argmax(1), truth.shape[1], strength)

    def _binary(self, x: np.ndarray, column: np.ndarray, strength: float) -> np.ndarray:
        often = column.mean() if len(column) else 0.0
        if min(column.sum(), (~column).sum()) < _FEWEST:
            return np.full(len(self._held), 10.0 if often > 0.5 else -10.0)
        found: np.ndarray = _regression(strength).fit(x, column).decision_function(self._held)
        return found

    def _multinomial(
        self, x: np.ndarray, targets: np.ndarray, classes: int, strength: float
    ) -> np.ndarray:
        """Compute logits of a multinomial fit; a class without targets gets -1e9."""
        known = np.unique(targets)
        logits = np.full((len(self._held), classes), -1e9)
        if len(known) == 1:
            logits[:, known[0]] = 0
            return logits
        found = _regression(strength).fit(x, targets).decision_function(self._held)
        # For two classes scikit-learn returns only the logit of the second.
        logits[:, known] = np.stack([-found / 2, found / 2], axis=1) if found.ndim == 1 else found
        return logits


def _one_thread() -> Callable[[], AbstractContextManager[object]]:
    """Return what limits linear algebra to one thread."""
    # The matrices are too small for several: beside other work on two cores, a fit took 5.9 s with
    # two threads and 0.06 s with one.
    from sklearn import linear_model  # noqa: F401 (the controller knows only what is loaded)
    from threadpoolctl import ThreadpoolController

    # Made once: it reads the list of the process's libraries, which takes as long as a small fit.
    return partial(ThreadpoolController().limit, limits=1)


def _regression(strength: float) -> "LogisticRegression":
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=_MAX_ITERATIONS, tol=_TOLERANCE)


def _on_axes(features: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standardise both and project them onto the principal axes of ``features``: float32 [·, axes]."""
    mean, std = features.mean(0), features.std(0)
    std[std < 1e-6] = 1.0  # don't scale up a constant feature
    few = np.random.default_rng(0).permutation(len(features))[:_AXES_FROM]
    sample = (features[few] - mean) / std
    _, vectors = np.linalg.eigh(sample.T @ sample)
    turn = (vectors[:, ::-1][:, :AXES] / std[:, None]).astype(np.float32)
    shift = (mean @ turn).astype(np.float32)
    return features @ turn - shift, held @ turn - shift


def _decided(logits: np.ndarray, task: Task, *, none: bool) -> np.ndarray:
    """Decide on labels: bool [m, classes].

    Single_label: the most probable one. Multi_label: those above one half, and at least one unless
    ``none`` is true (some training images have no label).
    """
    top = np.zeros(logits.shape, bool)
    top[np.arange(len(logits)), logits.argmax(1)] = True
    if task == "multi_label":
        return logits > 0 if none else (logits > 0) | top
    return top


def _log_loss(logits: np.ndarray, truth: np.ndarray, task: Task) -> float:
    if task == "multi_label":
        return float(np.mean(np.logaddexp(0, np.where(truth, -logits, logits))))
    shifted = logits - logits.max(1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(1))
    return float(np.mean(log_sum - (shifted * truth).sum(1)))


def marks_of(decided: np.ndarray, truth: np.ndarray, task: Task) -> Marks:
    """Score decided labels against the truth.

    Args:
        decided: bool [m, classes], the classifier's labels.
        truth: bool [m, classes], the right labels.
        task: single_label: the score is accuracy; multi_label: macro F1.

    Returns:
        The score, and F1 by class (NaN for a class that no image has).
    """
    hits = (decided & truth).sum(0).astype(float)
    assigned, actual = decided.sum(0), truth.sum(0)
    f1 = np.where(actual > 0, 2 * hits / np.maximum(assigned + actual, 1), np.nan)
    if task == "multi_label":
        return Marks(float(np.nanmean(f1)), f1)
    return Marks(float((decided & truth).any(1).mean()), f1)
