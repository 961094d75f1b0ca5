"""The probe of ``training.fitting.probe``, fast enough to be fitted a thousand times."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.fitting.probe import STRENGTHS

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression


@dataclass(frozen=True)
class Split:
    """Images of a split.

    Attributes:
        features: float32 [n, d].
        targets: int64 [n], classes.
    """

    features: np.ndarray
    targets: np.ndarray

    def take(self, rows: np.ndarray) -> "Split":
        """The split with only these rows."""
        return Split(self.features[rows], self.targets[rows])


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Attributes:
        strength: position in ``STRENGTHS`` of the best on the validation split.
        mean: float32 [d], of the training features.
        basis: float32 [d, r], scales the features, and projects them if there are few images.
        model: fitted on the projected features.
        classes: number of classes.
    """

    strength: int
    mean: np.ndarray
    basis: np.ndarray
    model: "LogisticRegression"
    classes: int

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Probabilities, float32 [n, classes], of features [n, d]; 0 for classes without training
        images."""
        found = np.zeros((len(features), self.classes), np.float32)
        if len(features):
            found[:, self.model.classes_] = self.model.predict_proba(
                features @ self.basis - self.mean @ self.basis
            )
        return found

    def accuracy(self, split: Split) -> float:
        """Share of ``split`` that is predicted right."""
        return float((self.probabilities(split.features).argmax(1) == split.targets).mean())


def fit(train: Split, val: Split, classes: int, start: int) -> Probe:
    """Fit logistic regressions on standardised features; return the one with the least validation
    loss.

    Args:
        train: the images to fit on.
        val: the validation images; without any, the strength is ``start``.
        classes: number of classes.
        start: position in ``STRENGTHS`` where the search begins.
    """
    mean, std = train.features.mean(0), train.features.std(0)
    std[std < 1e-6] = 1
    basis = np.diag(1 / std)
    # The solution lies in the span of the training images: fewer than features make a smaller fit.
    if len(train.features) < train.features.shape[1]:
        basis = (np.linalg.qr(((train.features - mean) / std).T)[0].T / std).T
    basis = basis.astype(np.float32)
    tried: dict[int, tuple[float, Probe]] = {}

    def loss(strength: int) -> float:
        if strength not in tried:
            model = _fitted((train.features - mean) @ basis, train.targets, strength)
            probe = Probe(strength, mean, basis, model, classes)
            right = probe.probabilities(val.features)[np.arange(len(val.targets)), val.targets]
            tried[strength] = float(-np.log(np.maximum(right, 1e-9)).sum()), probe
        return tried[strength][0]

    # The loss falls and then rises with the strength, so the first minimum is the only one.
    best = start
    while True:
        around = [s for s in (best, best - 1, best + 1) if 0 <= s < len(STRENGTHS)]
        lowest = min(around, key=loss)
        if lowest == best:
            return tried[best][1]
        best = lowest


def _fitted(features: np.ndarray, targets: np.ndarray, strength: int) -> "LogisticRegression":
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=STRENGTHS[strength], max_iter=1000, tol=1e-4)
    return model.fit(features, targets)
