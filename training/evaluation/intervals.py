"""95 % intervals of the scores of a split: what else they could have been on as many other images."""

from collections.abc import Iterator, Sequence

import numpy as np

from training.evaluation.metrics import Outcome
from training.evaluation.ranking import average_precision

DRAWS = 400
"""Weightings of the images; the second decimal of an interval's ends is certain then."""

_DRAWN_NUMBERS = 4_000_000
"""Most random numbers at a time, which bounds memory."""

Interval = tuple[float, float]


def score_intervals(
    result: Outcome, groups: Sequence[str], *, of_labels: bool
) -> dict[str, Interval]:
    """Compute intervals of ``accuracy``, ``macro_f1`` and, of several labels, two more scores.

    Bayesian bootstrap (Rubin, The Bayesian Bootstrap, Annals of Statistics 9, 1981): images are
    weighted at random, those of a group of near-duplicates alike. One imagined wrong answer, spread
    over the labels, is weighted with them, since without a single mistake on 20 images a model is not
    known to make none.

    Args:
        result: the model's answers and the truth, of n > 0 images.
        groups: near-duplicate group of each image.
        of_labels: multi_label; adds ``micro_f1`` and ``mean_average_precision``.

    Returns:
        The 2.5 and 97.5 % quantiles, by name of the score; the score lies between them.
    """
    present = np.flatnonzero(result.truth.any(axis=0))
    if not len(present):
        return {}
    drawn: dict[str, list[np.ndarray]] = {}
    for weights, imagined in _weightings(groups, result.truth.shape[1]):
        for name, values in _draws(result, weights, imagined, present, of_labels).items():
            drawn.setdefault(name, []).append(values)
    labels = np.zeros((1, result.truth.shape[1]))
    found = _draws(
        result, np.ones((1, len(groups)), np.float32), (labels, labels), present, of_labels
    )
    return {
        # Beside the imagined mistake, a score of 1 would lie above its interval.
        name: (min(float(low), float(found[name][0])), max(float(high), float(found[name][0])))
        for name, values in drawn.items()
        for low, high in [np.quantile(np.concatenate(values), [0.025, 0.975])]
    }


def _weightings(
    groups: Sequence[str], labels: int
) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]:
    """Yield weights of images, float [k, n], and of each label's imagined mistakes, 2 × [k, labels]."""
    rng = np.random.default_rng(0)
    number, place = np.unique(np.array(groups, dtype=str), return_inverse=True)
    left = DRAWS
    while left:
        some = max(1, min(left, _DRAWN_NUMBERS // len(place)))
        left -= some
        weights = rng.exponential(size=(some, len(number))).astype(np.float32)[:, place]
        missed, added = rng.gamma(1 / labels, size=(2, some, labels))
        yield weights, (missed, added)


def _draws(
    result: Outcome,
    weights: np.ndarray,
    imagined: tuple[np.ndarray, np.ndarray],
    present: np.ndarray,
    of_labels: bool,
) -> dict[str, np.ndarray]:
    """Compute the scores for k weightings: float [k] each; see ``score_intervals``."""
    truth, decided = result.truth, result.decided
    missed, added = imagined
    right = weights @ result.correct.astype(np.float32)
    wrong = weights @ (~result.correct).astype(np.float32) + missed.sum(axis=1)
    hits = weights @ (truth & decided).astype(np.float32)
    errors = weights @ (truth ^ decided).astype(np.float32) + missed + added
    f1 = 2 * hits / np.maximum(2 * hits + errors, np.finfo(float).tiny)
    found = {"accuracy": right / (right + wrong), "macro_f1": f1[:, present].mean(axis=1)}
    if of_labels:
        all_hits, all_errors = hits.sum(axis=1), errors.sum(axis=1)
        found["micro_f1"] = 2 * all_hits / (2 * all_hits + all_errors)
        precisions = [
            average_precision(
                np.r_[False, truth[:, label], True],  # the imagined mistakes are the worst ones
                np.r_[np.inf, result.probabilities[:, label], -np.inf],
                np.c_[added[:, label], weights, missed[:, label]],
            )
            for label in present
        ]
        found["mean_average_precision"] = np.mean(precisions, axis=0)
    return found
