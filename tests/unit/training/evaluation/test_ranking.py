"""Average precision, ROC curves and intervals, against scikit-learn and against what is known."""

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from training.evaluation import metrics, ranking
from training.evaluation.intervals import score_intervals
from training.evaluation.metrics import Outcome

pytestmark = pytest.mark.unit


def drawn(count: int, labels: int, *, noise: float = 0.4, seed: int = 0) -> Outcome:
    """A multi_label outcome; probabilities are rounded, so that some are equal."""
    rng = np.random.default_rng(seed)
    truth = rng.random((count, labels)) < 0.4
    probabilities = np.clip(truth * 0.5 + 0.25 + rng.normal(0, noise, truth.shape), 0, 1).round(2)
    right = (truth == (probabilities >= 0.5)).ravel()
    return Outcome(truth, probabilities >= 0.5, probabilities, probabilities.ravel(), right)


def test_the_scores_of_an_order_are_sklearns_with_equal_probabilities_too() -> None:
    result = drawn(300, 1)
    truth, probabilities = result.truth[:, 0], result.probabilities[:, 0]
    weights = np.stack([np.ones(300), np.random.default_rng(1).exponential(size=300)])
    expected = [average_precision_score(truth, probabilities, sample_weight=row) for row in weights]
    assert ranking.average_precision(truth, probabilities, weights) == pytest.approx(expected)
    assert ranking.roc_auc(truth, probabilities) == pytest.approx(
        roc_auc_score(truth, probabilities)
    )
    thresholds, precision, recall, false_positives = ranking.curve(truth, probabilities)
    known = precision_recall_curve(truth, probabilities)
    assert precision == pytest.approx(known[0][:-1][::-1])
    assert recall == pytest.approx(known[1][:-1][::-1])
    assert thresholds == pytest.approx(known[2][::-1])
    rates = roc_curve(truth, probabilities, drop_intermediate=False)[0]
    assert false_positives == pytest.approx(rates[1:])


def test_two_classes_have_a_table_of_thresholds_for_the_rarer_one() -> None:
    truth = np.array([[True, False]] * 6 + [[False, True]] * 4)
    rare = np.array([0.1, 0.1, 0.2, 0.2, 0.35, 0.7, 0.3, 0.6, 0.8, 0.9])
    probabilities = np.c_[1 - rare, rare]
    decided = probabilities == probabilities.max(axis=1, keepdims=True)
    result = Outcome(truth, decided, probabilities, probabilities.max(axis=1), truth[:, 0])
    found = metrics.binary_scores(result, ("ok", "scratch"))
    assert found is not None
    assert (found.positive, found.roc_auc) == ("scratch", pytest.approx(21 / 24))
    half = next(point for point in found.points if point.threshold == 0.5)
    assert (half.precision, half.recall, half.false_positive_rate) == (0.75, 0.75, 1 / 6)
    low = next(point for point in found.points if point.threshold == 0.3)
    assert (low.precision, low.recall) == (4 / 6, 1.0)
    only = Outcome(truth[:6], decided[:6], probabilities[:6], rare[:6], truth[:6, 0])
    assert metrics.binary_scores(only, ("ok", "scratch")) is None


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Of splits of 40 images of one population, whose scores a split of 20,000 tells."""
    many = metrics.scores(drawn(20_000, 3, seed=1), task="multi_label", labels="abc")
    names = ("accuracy", "macro_f1", "micro_f1", "mean_average_precision")
    inside = dict.fromkeys(names, 0)
    for seed in range(60):
        result = drawn(40, 3, seed=100 + seed)
        found = score_intervals(result, [str(n) for n in range(40)], of_labels=True)
        for name in names:
            low, high = found[name]
            inside[name] += low <= getattr(many, name) <= high
    assert min(inside.values()) >= 52, inside  # of 57 on average


def test_an_interval_is_wider_with_fewer_images_and_with_copies_of_the_same() -> None:
    def width(result: Outcome, groups: int) -> float:
        named = [str(n % groups) for n in range(len(result.truth))]
        low, high = score_intervals(result, named, of_labels=False)["macro_f1"]
        return high - low

    one = drawn(20, 3)
    copies = Outcome(*(np.concatenate([values] * 10) for values in vars(one).values()))
    assert width(copies, 20) > 2 * width(copies, 200)
    assert width(copies, 20) == pytest.approx(width(one, 20), rel=0.3)


def test_a_few_images_without_a_mistake_do_not_show_that_there_is_none() -> None:
    truth = np.eye(4, dtype=bool)[np.arange(20) % 4]
    result = Outcome(truth, truth, truth.astype(float), np.ones(20), np.ones(20, bool))
    found = score_intervals(result, [str(n) for n in range(20)], of_labels=True)
    assert set(found) == {"accuracy", "macro_f1", "micro_f1", "mean_average_precision"}
    for low, high in found.values():
        assert 0.75 < low < 0.95
        assert high == 1
