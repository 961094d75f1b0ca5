"""The probe of the simulated annotator: fitted on few axes, so that an hour is simulated in
seconds."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.curve.refit import STRENGTHS

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

AXES = 256
"""Principal axes that the probes are fitted on, in a tenth of the time of all features."""


def on_axes(features: np.ndarray) -> np.ndarray:
    """Project features, float32 [n, d], on their principal axes: float32 [n, AXES]."""
    centred = (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    found: np.ndarray = (centred @ vectors[:, ::-1][:, :AXES]).astype(np.float32)
    return found


@dataclass(frozen=True)
class Split:
    """Images of a split.

    Attributes:
        x: float32 [n, AXES], features.
        targets: int64 [n], classes.
        classes: number of classes.
    """

    x: np.ndarray
    targets: np.ndarray
    classes: int

    def take(self, rows: np.ndarray) -> "Split":
        """The split with only these rows."""
        return Split(self.x[rows], self.targets[rows], self.classes)


@dataclass(frozen=True)
class Probe:
    """Logistic regression on the axes; ``strength`` is the position of its strength in
    ``STRENGTHS``."""

    model: "LogisticRegression"
    strength: int

    def probabilities(self, x: np.ndarray, classes: int) -> np.ndarray:
        """Probabilities, float32 [n, classes], of ``x``, float32 [n, AXES]; 0 for classes without
        training images."""
        found = np.zeros((len(x), classes), np.float32)
        found[:, self.model.classes_] = self.model.predict_proba(x)
        return found


def fitted(x: np.ndarray, targets: np.ndarray, val: Split, near: int) -> Probe:
    """Fit probes of the strengths next to ``near``; return the one with the least validation loss.

    Args:
        x: float32 [n, AXES], features.
        targets: int64 [n], classes.
        val: the validation split.
        near: position in ``STRENGTHS``; it and its neighbours are tried.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    tried = []
    for strength in range(max(0, near - 1), min(len(STRENGTHS), near + 2)):
        model = LogisticRegression(C=STRENGTHS[strength], max_iter=300, tol=1e-3)
        probe = Probe(model.fit(x, targets), strength)
        predicted = np.maximum(probe.probabilities(val.x, val.classes), 1e-6)
        loss = log_loss(
            val.targets, predicted / predicted.sum(1, keepdims=True), labels=range(val.classes)
        )
        tried.append((loss, strength, probe))
    return min(tried, key=lambda item: item[:2])[2]
