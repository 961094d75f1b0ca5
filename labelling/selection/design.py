"""From scores to a batch, once there is a model: the labels that make its logits surest."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_CERTAIN = 1e-3
"""Probabilities nearer to 0 or 1 are taken for this: their logits have no end."""

_LEAST_VARIANCE = 0.1
"""Of the logits, whatever the model says: one that says the same of everything knows nothing."""

_LEAST = 0.01
"""Information of a label that the model is certain of: it may be wrong."""


@dataclass(frozen=True, eq=False)
class Design:
    """A linear model on points, of which some labels are known, and what is yet to be known.

    Attributes:
        covariance: float64 [q + 1, q + 1], of the weights and the intercept with the labels there
            are.
        variance: prior variance of the logit of a typical point: of one that is not known.
        length: of a typical point.
    """

    covariance: np.ndarray
    variance: float
    length: float


def design(
    points: np.ndarray, labelled: np.ndarray, information: np.ndarray, variance: float
) -> Design:
    """The Laplace approximation of logistic regression, with one covariance for all labels.

    Args:
        points: float32 [n, q], which say how long a typical point is.
        labelled: float32 [m, q].
        information: float32 [m], see ``information``.
        variance: of the logits that the prior has to allow for; see ``logit_variance``.
    """
    square = np.square(points, dtype=np.float64).sum(1).mean() if len(points) else 0.0
    length = max(float(np.sqrt(square)), 1e-6)
    seen = _inputs(labelled, length)
    # Weights of this prior give a typical point's logit this variance; the intercept has it, too.
    precision = np.eye(seen.shape[1]) / variance + (seen * information[:, None]).T @ seen
    return Design(np.linalg.inv(precision), variance, length)


def information(probabilities: np.ndarray) -> np.ndarray:
    """What a label tells of a logit, the mean over labels: float32 [n] in 0…1/4 (of two labels).

    The Fisher information of logistic regression is p(1 - p) for each label; here half of their
    sum, which for two labels is that of their one logit.

    Args:
        probabilities: [n, k], all known.
    """
    spread_out = (probabilities * (1 - probabilities)).sum(1) / 2
    return np.maximum(spread_out, _LEAST).astype(np.float32)


def logit_variance(probabilities: np.ndarray) -> float:
    """Variance of the logits over the images, the mean over labels: what the prior of the weights
    is estimated from (empirical Bayes).

    Args:
        probabilities: [n, k], all known, n and k at least 1.
    """
    p = probabilities.astype(np.float64)
    logits = np.log(np.clip(p, _CERTAIN, 1) / np.clip(1 - p, _CERTAIN, 1))
    return max(float(logits.var(0).mean()), _LEAST_VARIANCE)


def reduce_variance(
    start: Design,
    points: np.ndarray,
    value: np.ndarray,
    information: np.ndarray,
    size: int,
    *,
    known: np.ndarray,
    on_pick: Callable[[int], None],
) -> list[int]:
    """Pick ``size`` points whose labels together make the logits of all points surest, each
    counted by its value.

    What is made small is Σᵢ valueᵢ · xᵢᵀ Σ xᵢ, the variance that the model's logits have left
    (V-optimal design; of logistic regression: Schein and Ungar, "Active learning for logistic
    regression", Machine Learning 68, 2007; Hoi, Jin, Zhu and Lyu, ICML 2006). Each pick is the
    one that takes most away; it takes a batch to no like image twice, for the first has told
    what the second would. A label of information w turns Σ into Σ - w Σx xᵀΣ / (1 + w xᵀΣx), so
    a pick costs three products with ``points`` and no inverse.

    Args:
        start: what is known before.
        points: float32 [n, q].
        value: float32 [n], not negative.
        information: float32 [n], positive: what the label of each tells.
        size: picks wanted; all points if there are fewer.
        known: bool [n]; a point that is not known tells of itself only.
        on_pick: told how many are picked.

    Returns:
        Positions, in the order picked.
    """
    x = _inputs(points, start.length)
    x[~known] = 0
    worth, told = value.astype(np.float64), information.astype(np.float64)
    covariance = start.covariance.copy()
    target = (x * worth[:, None]).T @ x
    own = np.einsum("ij,ij->i", x @ covariance, x)
    own[~known] = start.variance
    # What a label takes away is told · others / (1 + told · own).
    others = np.einsum("ij,ij->i", x @ (covariance @ target @ covariance), x)
    others[~known] = worth[~known] * start.variance**2
    gone = np.zeros(len(x), bool)
    picked: list[int] = []
    while len(picked) < min(size, len(x)):
        gain = np.where(gone, -1.0, told * np.maximum(others, 0) / (1 + told * own))
        first = int(gain.argmax())
        picked.append(first)
        gone[first] = True
        on_pick(len(picked))
        if not known[first]:
            continue
        towards = covariance @ x[first]
        back = target @ towards
        step = told[first] / (1 + told[first] * own[first])
        here = x @ towards
        others -= 2 * step * here * (x @ (covariance @ back))
        others += step**2 * float(towards @ back) * here**2
        own -= step * here**2
        covariance -= step * np.outer(towards, towards)
    return picked


def _inputs(points: np.ndarray, length: float) -> np.ndarray:
    """Points of about unit length, and a one for the intercept, without which opposite points
    would be alike: float64 [n, q + 1]."""
    ones = np.ones((len(points), 1))
    return np.concatenate([points.astype(np.float64) / length, ones], axis=1)
