"""Metrics of an evaluation: pure functions of arrays.

``n`` is the number of images, ``L`` of labels. Truth and decisions are bool [n, L], one row per
image, for both single_label (rows with one ``True``) and multi_label (rows with any number). A row
of decisions without ``True`` means a label outside the ``L``.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.artefact.artefact import Task
from training.evaluation import ranking
from training.evaluation.report import (
    BinaryScores,
    ClassScores,
    OperatingPoint,
    PairedCounts,
    Scores,
)

CALIBRATION_BINS = 15
MIN_BIN_VALUES = 10
"""Fewest values per bin, since bins with fewer measure noise; small splits get fewer bins."""

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Those that a report of two classes has the scores of."""

RESAMPLES = 200
"""Simulations of ``calibration_chance``; its third decimal is noise then."""

SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)
"""Lower bound of probabilities before a logarithm: the resolution of float32 near 1."""


@dataclass(frozen=True)
class Outcome:
    """A model's predictions on a split and the truth, in the columns of the evaluation's labels.

    Attributes:
        truth: bool [n, L].
        decided: bool [n, L].
        probabilities: float32 [n, L]; 0 for labels that the model does not have.
        confidence: float32 [m], the model's probability of each of ``m`` statements: its decision
            for each image (single_label), or each label of each image (multi_label).
        right: bool [m], whether each statement is true.
    """

    truth: np.ndarray
    decided: np.ndarray
    probabilities: np.ndarray
    confidence: np.ndarray
    right: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """Whether each image was given exactly its labels: bool [n]."""
        return (self.truth == self.decided).all(axis=1)


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of a reliability diagram: mean confidence and accuracy of ``count`` statements."""

    confidence: float
    accuracy: float
    count: int


def indicator(label_sets: Sequence[Sequence[str]], labels: Sequence[str]) -> np.ndarray:
    """Convert label sets to bool [n, L]; labels that are not among ``labels`` are left out."""
    column = {label: index for index, label in enumerate(labels)}
    matrix = np.zeros((len(label_sets), len(labels)), dtype=bool)
    for row, label_set in enumerate(label_sets):
        matrix[row, [column[label] for label in label_set if label in column]] = True
    return matrix


def outcome(
    truth: Sequence[Sequence[str]],
    decided: Sequence[Sequence[str]],
    probabilities: np.ndarray,
    *,
    task: Task,
    labels: Sequence[str],
    model_labels: Sequence[str],
) -> Outcome:
    """Align a model's predictions with the evaluation's labels.

    Args:
        truth: the true labels of each image.
        decided: the model's labels of each image.
        probabilities: float32 [n, len(model_labels)].
        task: the evaluation's task.
        labels: the evaluation's labels.
        model_labels: the model's; classes that were merged later have the same name.
    """
    columns = {label: index for index, label in enumerate(labels)}
    aligned = np.zeros((len(truth), len(labels)), dtype=np.float32)
    for place, label in enumerate(model_labels):
        if label not in columns:
            continue
        before, added = aligned[:, columns[label]], probabilities[:, place]
        aligned[:, columns[label]] = (
            before + added if task == "single_label" else np.maximum(before, added)
        )
    true = indicator(truth, labels)
    answered = indicator(decided, labels)
    if task == "single_label":
        confidence, right = probabilities.max(axis=1), (true & answered).any(axis=1)
    else:
        confidence, right = aligned.ravel(), true.ravel()
    return Outcome(true, answered, aligned, confidence, right)


def scores(result: Outcome, *, task: Task, labels: Sequence[str]) -> Scores:
    """Compute all metrics of one model on one split of at least one image.

    Args:
        result: the model's answers and the truth.
        task: single_label or multi_label.
        labels: names of the classes, in the order of the columns.
    """
    per_class = class_scores(result, labels)
    present = [item.f1 for item in per_class.values() if item.support]
    precisions = [
        item.average_precision for item in per_class.values() if item.average_precision is not None
    ]
    hits = int((result.truth & result.decided).sum())
    errors = int((result.truth ^ result.decided).sum())
    return Scores(
        accuracy=float(result.correct.mean()),
        macro_f1=float(np.mean(present)) if present else 0.0,
        log_loss=log_loss(result, task=task),
        calibration_error=calibration_error(result.confidence, result.right),
        calibration_chance=calibration_chance(result.confidence),
        per_class=per_class,
        confusion_matrix=confusion_matrix(result, task=task).tolist(),
        micro_f1=2 * hits / max(2 * hits + errors, 1),
        mean_average_precision=float(np.mean(precisions)) if precisions else None,
    )


def class_scores(result: Outcome, labels: Sequence[str]) -> dict[str, ClassScores]:
    """Compute the scores of each label; undefined values (0 / 0) are 0."""
    hits = (result.truth & result.decided).sum(axis=0)
    support, given = result.truth.sum(axis=0), result.decided.sum(axis=0)

    def share(of: np.ndarray) -> list[float]:
        return (hits / np.maximum(of, 1)).tolist()

    once = np.ones((1, len(result.truth)))
    ranked = [
        float(ranking.average_precision(truth, probabilities, once)[0]) if truth.any() else None
        for truth, probabilities in zip(result.truth.T, result.probabilities.T, strict=True)
    ]
    columns = share(given), share(support), share((support + given) / 2), support.tolist(), ranked
    return {
        label: ClassScores(
            precision=precision, recall=recall, f1=f1, support=count, average_precision=average
        )
        for label, precision, recall, f1, count, average in zip(labels, *columns, strict=True)
    }


def binary_scores(result: Outcome, labels: Sequence[str]) -> BinaryScores | None:
    """Compute the scores of thresholds for two classes; ``None`` unless both occur.

    Args:
        result: the model's answers and the truth, for two labels.
        labels: names of the classes, in the order of the columns.
    """
    support = result.truth.sum(axis=0)
    if len(labels) != 2 or not support.all():
        return None
    column = 1 if support[1] <= support[0] else 0
    truth, probabilities = result.truth[:, column], result.probabilities[:, column]
    points = []
    for threshold in THRESHOLDS:
        given = probabilities >= threshold
        hits = int((given & truth).sum())
        points.append(
            OperatingPoint(
                threshold=threshold,
                precision=hits / max(int(given.sum()), 1),
                recall=hits / int(truth.sum()),
                false_positive_rate=int((given & ~truth).sum()) / int((~truth).sum()),
            )
        )
    auc = ranking.roc_auc(truth, probabilities)
    return BinaryScores(positive=labels[column], roc_auc=auc, points=points)


def log_loss(result: Outcome, *, task: Task) -> float:
    """Compute the mean negative log-likelihood in nats; see ``training.evaluation.report.Scores``."""
    clipped = np.clip(
        result.probabilities.astype(np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY
    )
    if task == "single_label":
        return float(-np.log(clipped[result.truth]).sum() / len(clipped))
    return float(-np.log(np.where(result.truth, clipped, 1 - clipped)).mean())


def confusion_matrix(result: Outcome, *, task: Task) -> np.ndarray:
    """Count decisions: int [L, L] (single_label) or [L, 4] (multi_label); see ``Scores``."""
    if task == "single_label":
        return result.truth.astype(int).T @ result.decided.astype(int)
    truth, decided = result.truth, result.decided
    cells = (~truth & ~decided, ~truth & decided, truth & ~decided, truth & decided)
    return np.stack([cell.sum(axis=0) for cell in cells], axis=1)


def calibration_bins(confidence: np.ndarray, right: np.ndarray) -> list[Bin]:
    """Divide statements into bins of equal mass, least confident first; equal values share a bin.

    Args:
        confidence: float [m], 0…1.
        right: bool [m].
    """
    placed = _place(confidence)
    return [
        Bin(float(confidence[placed == bin_].mean()), float(right[placed == bin_].mean()), size)
        for bin_, size in enumerate(np.bincount(placed).tolist())
        if size
    ]


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Compute the expected calibration error, in [0, 1].

    It is the mean distance between confidence and accuracy of the bins, weighted by size (Guo et
    al., On Calibration of Modern Neural Networks, ICML 2017). Bins of equal mass instead of equal
    width: Nixon et al., Measuring Calibration in Deep Learning, CVPR workshops 2019; Roelofs et
    al., Mitigating Bias in Calibration Error Estimation, AISTATS 2022 (equal mass is less biased).

    Args:
        confidence: float [m], in [0, 1].
        right: bool [m].
    """
    bins = calibration_bins(confidence, right)
    distance = sum(abs(item.confidence - item.accuracy) * item.count for item in bins)
    return float(distance / len(confidence))


def calibration_chance(confidence: np.ndarray) -> float:
    """Compute the 95% quantile of ``calibration_error`` for a perfectly calibrated model, in [0, 1].

    Calibration errors below it can be due to chance. By consistency resampling: Bröcker and Smith,
    Increasing the Reliability of Reliability Diagrams, Weather and Forecasting 22 (2007). The result
    is the same for the same confidences (float [m], in [0, 1]).
    """
    rng = np.random.default_rng(0)
    placed = _place(confidence)
    sure = np.bincount(placed, weights=confidence)
    errors = [
        np.abs(np.bincount(placed, weights=rng.random(len(confidence)) < confidence) - sure).sum()
        for _ in range(RESAMPLES)
    ]
    return float(np.quantile(errors, 0.95) / len(confidence))


def _place(confidence: np.ndarray) -> np.ndarray:
    """Return the bin of each confidence: int [m]. Edges are quantiles; equal values share a bin."""
    count = min(CALIBRATION_BINS, max(1, len(confidence) // MIN_BIN_VALUES))
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, count + 1)[1:-1]))
    return np.searchsorted(edges, confidence, side="right")


def majority_baseline(test: Sequence[Sequence[str]]) -> float:
    """Return the best accuracy on ``test`` of a model that always predicts the same label set."""
    # Counted on test: the most frequent class of train may be the rarer one of test, and then even a
    # net that always predicts the other class would be above the baseline.
    counts = Counter(tuple(sorted(labels)) for labels in test)
    return max(counts.values()) / len(test)


def mcnemar_p(candidate: np.ndarray, champion: np.ndarray) -> float:
    """Compute the p-value of the two-sided exact McNemar test (McNemar 1947; binomial distribution).

    Args:
        candidate: bool [n], whether one model is right on each image.
        champion: bool [n], the other's, on the same images.
    """
    only_candidate = int((candidate & ~champion).sum())
    only_champion = int((champion & ~candidate).sum())
    more, fewer = max(only_candidate, only_champion), min(only_candidate, only_champion)
    return min(1.0, 2 * one_sided_mcnemar_p(more, fewer))


def one_sided_mcnemar_p(more: int, fewer: int) -> float:
    """Compute the p-value of the one-sided exact McNemar test.

    Args:
        more: number of images on which only the supposedly better model is right.
        fewer: number of images on which only the other one is right.
    """
    from scipy.special import bdtrc  # scipy.stats would take seconds to import

    return float(bdtrc(more - 1, more + fewer, 0.5)) if more else 1.0


def paired_counts(
    candidate: Outcome, champion: Outcome, labels: Sequence[str]
) -> dict[str, PairedCounts]:
    """Count, by label, the images with that label that only one of the two models finds.

    Args:
        candidate: one model's answers.
        champion: the other's, on the same images in the same order.
        labels: names of the classes, in the order of the columns.
    """
    found, before = candidate.truth & candidate.decided, champion.truth & champion.decided
    only_candidate = (found & ~before).sum(axis=0).tolist()
    only_champion = (before & ~found).sum(axis=0).tolist()
    return {
        label: PairedCounts(only_candidate=gained, only_champion=lost)
        for label, gained, lost in zip(labels, only_candidate, only_champion, strict=True)
    }


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong decision.

    Attributes:
        index: position of the image.
        given: (label, probability) of labels given wrongly, the most probable first.
        missed: (label, probability) of labels missed, the most probable first.
    """

    index: int
    given: tuple[tuple[str, float], ...]
    missed: tuple[tuple[str, float], ...]


def worst_mistakes(result: Outcome, labels: Sequence[str], most: int) -> list[Mistake]:
    """List the wrong answers of highest confidence, summed over the wrong labels.

    Args:
        result: the model's answers and the truth.
        labels: names of the classes, in the order of the columns.
        most: how many to return at most.
    """
    off = np.abs(result.truth - result.probabilities)
    wrong = result.truth ^ result.decided
    sureness = np.where(wrong, off, 0).sum(axis=1)
    order = np.lexsort((-sureness, ~wrong.any(axis=1)))

    def pairs(row: int, which: np.ndarray) -> tuple[tuple[str, float], ...]:
        columns = np.flatnonzero(which).tolist()
        found = [(labels[column], float(result.probabilities[row, column])) for column in columns]
        return tuple(sorted(found, key=lambda pair: -pair[1]))

    return [
        Mistake(
            row,
            pairs(row, result.decided[row] & wrong[row]),
            pairs(row, result.truth[row] & wrong[row]),
        )
        for row in order[: min(most, int(wrong.any(axis=1).sum()))].tolist()
    ]
