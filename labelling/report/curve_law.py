"""Learning curves: how much more labels would improve the score, with an interval.

The error of a classifier falls with the number of labels ``n`` about as an inverse power,
``error(n) = floor + excess * (n / N) ** -rate`` (Figueroa et al., Predicting sample size required
for classification performance, 2012, https://doi.org/10.1186/1472-6947-12-8; limits: Viering &
Loog, The Shape of Learning Curves, 2022, https://arxiv.org/abs/2103.10948).

The points are scores at nested subsets of the ``N`` labels, in several draws, all on the same
images. Their errors are correlated: subsets overlap, and all belong to one data set. Fits on two
sets ``S`` and ``T`` differ the more, the less the sets share: ``d = |S|^-1 + |T|^-1 - 2 |S & T| /
(|S| |T|)``, the squared distance of their means. A prediction changes with a probability that grows
with the root of ``d``, for better or worse, so the scores differ with variance ``k * d ** 0.5``; on
the scenes the exponent held from 20 to 95 % of the labels, where the exponent ``1`` of averages was
wrong by a factor of eight. ``k`` is estimated from the differences between the draws. Under that
covariance the posterior of the parameters (flat priors, floor and excess not negative) is sampled
on a grid of rates, since for a given rate the law is linear (Golub & Pereyra 1973, variable
projection).
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from errors.base import ImgclfError

LEVEL = 0.8
"""Confidence level of an estimate's interval."""

MIN_SIZES = 4
"""Three parameters need more than three points."""

MIN_LABELS = 20
"""With fewer labels a curve is only noise."""

FURTHEST = 2.0
"""How far a curve is extrapolated, as a multiple of the present number of labels."""

LEAST_SAMPLE = 0.1
"""The smallest share of the labels to measure a curve on: extrapolation from a tenth is already
rough (Mahmood et al., How Much More Data Do I Need?, CVPR 2022,
https://arxiv.org/abs/2207.01725)."""

WIDEST = 0.04
"""Half the width of the widest 80 % interval of a gain that is reported."""

CHURN = 0.5
"""The exponent of ``d``."""

_RATES = np.linspace(0.1, 2.0, 39)
_SAMPLES = 4000
_SMALLEST_VARIANCE = 1e-9


class Points(BaseModel):
    """Scores (0…1) at nested subsets: ``scores[i][j]`` at ``sizes[i]`` labels in draw ``j``.

    Sizes increase; the last is all labels, where the draws are the same and one score will do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sizes: list[int]
    scores: list[list[float]]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if len(self.sizes) != len(self.scores) or not all(self.scores):
            raise ValueError("scores needs one or more scores for each of sizes")
        if any(a >= b for a, b in zip([0, *self.sizes], self.sizes, strict=False)):
            raise ValueError("sizes must be positive and increase")
        return self


class Estimate(BaseModel):
    """An expected value and its 80 % interval. ``math.inf`` is no number of JSON: ``None`` as a
    bound says that there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float | None
    low: float | None
    high: float | None

    @property
    def reach(self) -> float:
        """Half the width of the interval; infinite if it is open."""
        if self.low is None or self.high is None:
            return math.inf
        return (self.high - self.low) / 2


class CurveError(ImgclfError, ValueError):
    """These points allow no forecast; the message says why."""


@dataclass(frozen=True)
class Curve:
    """A fitted learning curve.

    Attributes:
        labels: the present number of labels, ``N``.
        score: the score with them.
        noise: ``k``.
        sizes, means: float64 [m], the points, averaged over the draws.
        draws: int64 [m], the number of draws of each point.
        floor, excess, rate: float64 [samples], posterior samples of the parameters.
    """

    labels: int
    score: float
    noise: float
    sizes: np.ndarray
    means: np.ndarray
    draws: np.ndarray
    floor: np.ndarray
    excess: np.ndarray
    rate: np.ndarray

    def law(self, labels: float) -> np.ndarray:
        """Scores of the law at ``labels`` labels, without noise: float64 [samples]."""
        return 1 - self.floor - self.excess * (labels / self.labels) ** -self.rate

    def at(self, labels: float) -> Estimate:
        """The score of the law at ``labels`` labels."""
        return _estimate(np.clip(self.law(labels), 0, 1))

    def gain(self, more: int, *, there: int | None = None) -> Estimate:
        """The change of the score by ``more`` labels, on the same test images.

        The present score differs from the law by chance, and part of that difference stays.

        Args:
            more: number of further labels.
            there: number of labels, if the points were measured on a random sample of them; the law
                is first extrapolated to it. Default: the measured number.

        Raises:
            CurveError: the extrapolation is too far, or the interval too wide to be useful.
        """
        there = there or self.labels
        then = there + more
        if self.labels < LEAST_SAMPLE * there:
            raise CurveError(f"measured on {self.labels:,} of {there:,}, which is too few")
        if then > FURTHEST * there:
            raise CurveError(f"{more} more is too far beyond the {there} there are")
        weights, variance = self._outlook(there, then)
        laws = np.stack([self.law(size) for size in self.sizes], axis=1)
        luck = (self.means - laws) @ weights
        fresh = np.random.default_rng(0).normal(0, math.sqrt(variance), len(luck))
        found = _estimate(self.law(then) - self.law(there) + luck + fresh)
        if found.reach > WIDEST:
            raise CurveError(f"the interval is ±{100 * found.reach:.0f} points wide")
        return found

    def _outlook(self, there: int, then: int) -> tuple[np.ndarray, float]:
        """How the deviation from the law changes from ``there`` to ``then`` labels, as a linear
        function of the points' deviations (weights, float64 [m]), and the variance of the rest."""
        known = _covariance(self.sizes, self.draws, self.noise)
        common = self._shared(then) - self._shared(there)
        weights = np.linalg.solve(known, common)
        rest = self.noise * (1 / there - 1 / then) ** CHURN - common @ weights
        return weights, max(0.0, float(rest))

    def _shared(self, labels: int) -> np.ndarray:
        """Covariance of the points with a score at ``labels`` labels that contain theirs: float64
        [m]."""
        apart = 1 / self.sizes - 1 / labels
        return _common(1 / self.sizes, np.array(1 / labels), apart, self.noise)

    def labels_for(self, score: float, *, of: int) -> Estimate:
        """How many labels the law needs for ``score``, which was measured once with ``of`` labels.

        Returns:
            The number of labels; a bound is ``None`` if it is more than ten times the present
            number, or the score is never reached.
        """
        luck = np.random.default_rng(0).normal(
            0, math.sqrt(self.noise * of**-CHURN), len(self.floor)
        )
        error = 1 - score + luck - self.floor
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            needed = self.labels * (self.excess / error) ** (1 / self.rate)
        needed = np.where(error > 0, np.nan_to_num(needed, nan=np.inf, posinf=np.inf), np.inf)
        low, middle, high = np.quantile(needed, _BOUNDS, method="nearest")
        return Estimate(value=_near(middle, self), low=_near(low, self), high=_near(high, self))


_BOUNDS = ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2)


def _near(labels: float, curve: Curve) -> float | None:
    return float(labels) if labels <= 10 * curve.labels else None


def _estimate(samples: np.ndarray) -> Estimate:
    low, middle, high = (float(value) for value in np.quantile(samples, _BOUNDS))
    return Estimate(value=middle, low=low, high=high)


def fit(points: Points, *, seed: int = 0) -> Curve:
    """Fit the learning curve to ``points``; deterministic for the same points and ``seed``.

    Raises:
        CurveError: there are too few points or labels, or no subset was drawn twice.
    """
    sizes = np.array(points.sizes, float)
    if len(sizes) < MIN_SIZES or sizes[-1] < MIN_LABELS:
        raise CurveError(
            f"{len(sizes)} sizes up to {points.sizes[-1]} labels; it takes {MIN_SIZES} sizes "
            f"and {MIN_LABELS} labels"
        )
    means = np.array([np.mean(scores) for scores in points.scores])
    noise = _noise(points)
    draws = np.array([len(scores) for scores in points.scores])
    covariance = _covariance(sizes, draws, noise)
    floor, excess, rate = _posterior(sizes, 1 - means, covariance, np.random.default_rng(seed))
    return Curve(
        points.sizes[-1], float(means[-1]), noise, sizes, means, draws, floor, excess, rate
    )


def _noise(points: Points) -> float:
    """Estimate ``k`` from the scatter of the draws."""
    # Not from subsets below a quarter: fits on so few labels follow another law.
    last = points.sizes[-1]
    seen = [
        (float(np.var(scores, ddof=1)), (2 / size - 2 / last) ** CHURN / 2)
        for size, scores in zip(points.sizes, points.scores, strict=True)
        if last / 4 <= size < last and len(scores) > 1
    ]
    if not seen:
        raise CurveError("no subset was drawn twice, so chance cannot be separated from learning")
    return max(sum(v for v, _ in seen) / sum(w for _, w in seen), _SMALLEST_VARIANCE)


def _common(a: np.ndarray, b: np.ndarray, apart: np.ndarray, noise: float) -> np.ndarray:
    """Covariance of scores on sets of sizes ``1/a`` and ``1/b`` at the squared distance
    ``apart``."""
    found: np.ndarray = noise * (a**CHURN + b**CHURN - np.maximum(apart, 0) ** CHURN) / 2
    return found


def _covariance(sizes: np.ndarray, draws: np.ndarray, noise: float) -> np.ndarray:
    """Covariance of the mean scores, float64 [sizes, sizes]. Sets of one draw are nested; sets of
    two draws overlap by chance."""
    a, b = (1 / sizes)[:, None], (1 / sizes)[None, :]
    same = _common(a, b, np.abs(a - b), noise)
    other = _common(a, b, a + b - 2 / sizes[-1], noise)
    share = 1 / np.maximum.outer(draws, draws)
    matrix: np.ndarray = share * same + (1 - share) * other
    return matrix + _SMALLEST_VARIANCE * np.eye(len(sizes))


def _posterior(
    sizes: np.ndarray, errors: np.ndarray, covariance: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Posterior samples of floor, excess and rate: float64 [samples] each."""
    whitener = np.linalg.inv(np.linalg.cholesky(covariance))
    seen = whitener @ errors
    powers = (sizes / sizes[-1]) ** -_RATES[:, None]
    basis = whitener @ np.stack([np.ones_like(powers), powers], axis=2)  # [rates, sizes, 2]
    turned = basis.transpose(0, 2, 1)
    precision = turned @ basis
    means = np.linalg.solve(precision, (turned @ seen)[..., None])
    roots = np.linalg.inv(np.linalg.cholesky(precision)).transpose(0, 2, 1)
    misfits = ((seen - (basis @ means)[..., 0]) ** 2).sum(axis=1)
    volumes = -0.5 * np.linalg.slogdet(precision)[1]
    # If no power law fits the points as well as their noise allows, widen the posterior (Birge
    # 1932).
    birge = max(1.0, float(misfits.min()) / max(1, len(sizes) - 3))
    evidence = -0.5 * misfits / birge + volumes
    weights = np.exp(evidence - evidence.max())
    samples = _not_negative(weights, means[..., 0], roots * math.sqrt(birge), rng)
    if len(samples) < 100:
        # No falling curve fits: use a constant, the mean of the points.
        ones = whitener @ np.ones(len(sizes))
        flat = rng.normal(ones @ seen / (ones @ ones), math.sqrt(birge / (ones @ ones)), _SAMPLES)
        return np.clip(flat, 0, 1), np.zeros(_SAMPLES), np.ones(_SAMPLES)
    return samples[:, 0], samples[:, 1], samples[:, 2]


def _not_negative(
    weights: np.ndarray, means: np.ndarray, roots: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw samples until :data:`_SAMPLES` have neither a negative floor nor a negative excess.

    Args:
        weights: of the rates, float64 [rates].
        means: floor and excess at each rate, float64 [rates, 2].
        roots: roots of their covariances, float64 [rates, 2, 2].
        rng: draws the rates first, then the deviations from the means.

    Returns:
        Floor, excess and rate of each sample: float64 [samples, 3], fewer than :data:`_SAMPLES` if
        most are negative.
    """
    chances = np.cumsum(weights)
    chances /= chances[-1]
    picked = rng.random(20 * _SAMPLES)
    # Most samples are allowed as a rule: then the first part is enough.
    found: list[np.ndarray] = []
    for part in np.split(picked, 10):
        rates = np.searchsorted(chances, part, side="right")
        deviations = np.einsum("sij,sj->si", roots[rates], rng.normal(size=(len(rates), 2)))
        drawn = means[rates] + deviations
        found.append(np.column_stack([drawn, _RATES[rates]])[(drawn >= 0).all(axis=1)])
        if sum(map(len, found)) >= _SAMPLES:
            break
    return np.concatenate(found)[:_SAMPLES]
