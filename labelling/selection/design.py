"""Batch selection with a model: the labels that most reduce the variance of its logits."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_CERTAIN = 1e-3
"""Probabilities are clipped to this distance from 0 and 1, so that logits are finite."""

_LEAST_VARIANCE = 0.1
"""Lower bound of the logits' variance: a constant prediction is not a sign of certainty."""

_LEAST = 0.01
"""Lower bound of a label's information: a model that is certain may be wrong."""


@dataclass(frozen=True, eq=False)
class Design:
    """A Bayesian linear model on points, of which some labels are known.

    Attributes:
        covariance: float64 [q + 1, q + 1], posterior covariance of weights and intercept.
        variance: prior variance of the logit of a typical point; also of a point that is not known.
        length: of a typical point.
    """

    covariance: np.ndarray
    variance: float
    length: float


def design(
    points: np.ndarray, labelled: np.ndarray, information: np.ndarray, variance: float
) -> Design:
    """Laplace approximation of logistic regression, with one covariance for all labels.

    Args:
        points: float32 [n, q]; their root mean square length is that of a typical point.
        labelled: float32 [m, q].
        information: float32 [m], see ``information``.
        variance: prior variance of the logits; see ``logit_variance``.
    """
    square = np.square(points, dtype=np.float64).sum(1).mean() if len(points) else 0.0
    length = max(float(np.sqrt(square)), 1e-6)
    seen = _inputs(labelled, length)
    # With this prior, the logit of a typical point has ``variance``, and so does the intercept.
    precision = np.eye(seen.shape[1]) / variance + (seen * information[:, None]).T @ seen
    return Design(np.linalg.inv(precision), variance, length)


def information(probabilities: np.ndarray) -> np.ndarray:
    """Information of a label about the logits: float32 [n], 0…1/4 for two labels.

    The Fisher information of logistic regression is p(1 - p) for each label; here half of the sum
    over the labels, which for two labels equals that of their one logit.

    Args:
        probabilities: [n, k], all known.
    """
    spread_out = (probabilities * (1 - probabilities)).sum(1) / 2
    return np.maximum(spread_out, _LEAST).astype(np.float32)


def logit_variance(probabilities: np.ndarray) -> float:
    """Variance of the logits over the images, averaged over the labels: an empirical Bayes estimate
    for the prior of the weights.

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
    """Greedily pick ``size`` points whose labels most reduce the weighted variance of all logits.

    The objective is Σᵢ valueᵢ · xᵢᵀ Σ xᵢ, the remaining variance of the model's logits (V-optimal
    design; of logistic regression: Schein and Ungar, "Active learning for logistic regression",
    Machine Learning 68, 2007; Hoi, Jin, Zhu and Lyu, ICML 2006). Each pick is the one that reduces
    it most, so a batch does not contain two similar images. A label of information w turns Σ into Σ
    - w Σx xᵀΣ / (1 + w xᵀΣx), so a pick costs three products with ``points`` and no inverse.

    Args:
        start: the design before the picks.
        points: float32 [n, q].
        value: float32 [n], weights, not negative.
        information: float32 [n], positive, of the label of each point.
        size: picks wanted; all points if there are fewer.
        known: bool [n]; the label of a point that is not known informs about that point only.
        on_pick: called with the number of picks so far.

    Returns:
        Positions, in the order picked.
    """
    x = _inputs(points, start.length)
    x[~known] = 0
    worth, gained = value.astype(np.float64), information.astype(np.float64)
    covariance = start.covariance.copy()
    target = (x * worth[:, None]).T @ x
    own = np.einsum("ij,ij->i", x @ covariance, x)
    own[~known] = start.variance
    # A label reduces the objective by gained · others / (1 + gained · own).
    others = np.einsum("ij,ij->i", x @ (covariance @ target @ covariance), x)
    others[~known] = worth[~known] * start.variance**2
    gone = np.zeros(len(x), bool)
    picked: list[int] = []
    while len(picked) < min(size, len(x)):
        gain = np.where(gone, -1.0, gained * np.maximum(others, 0) / (1 + gained * own))
        first = int(gain.argmax())
        picked.append(first)
        gone[first] = True
        on_pick(len(picked))
        if not known[first]:
            continue
        towards = covariance @ x[first]
        back = target @ towards
        step = gained[first] / (1 + gained[first] * own[first])
        here = x @ towards
        others -= 2 * step * here * (x @ (covariance @ back))
        others += step**2 * float(towards @ back) * here**2
        own -= step * here**2
        covariance -= step * np.outer(towards, towards)
    return picked


def _inputs(points: np.ndarray, length: float) -> np.ndarray:
    """Scale points to about unit length and append a one for the intercept: float64 [n, q + 1]."""
    # Without the intercept, opposite points would count as similar.
    ones = np.ones((len(points), 1))
    return np.concatenate([points.astype(np.float64) / length, ones], axis=1)
