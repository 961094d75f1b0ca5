"""The numbers of an evaluation, against ones worked out by hand or by another library."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import multilabel_confusion_matrix, precision_recall_fscore_support

from training.evaluation import metrics
from training.evaluation.metrics import Outcome

pytestmark = pytest.mark.unit

LABELS = ("a", "b", "c")


def outcome_of(
    truth: list[str], decided: list[str], probabilities: np.ndarray | None = None
) -> Outcome:
    """A single_label outcome; a decided "?" is a label nobody evaluates."""
    if probabilities is None:
        probabilities = np.array(
            [[0.8 if label == text else 0.1 for label in LABELS] for text in decided], np.float32
        )
    return metrics.outcome(
        [(label,) for label in truth],
        [(label,) for label in decided],
        probabilities,
        task="single_label",
        labels=LABELS,
        model_labels=LABELS,
    )


def test_single_label_scores_by_hand() -> None:
    # a: 2 of 3 found, 1 of 3 answers wrong; b: 1 of 1, 1 of 2 wrong; c: never occurs.
    result = outcome_of(["a", "a", "a", "b", "b"], ["a", "a", "b", "b", "a"])
    scores = metrics.scores(result, task="single_label", labels=LABELS)

    assert scores.accuracy == pytest.approx(3 / 5)
    a, b = scores.per_class["a"], scores.per_class["b"]
    assert (a.precision, a.recall, a.support) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 3)
    assert (b.precision, b.recall, b.support) == (0.5, 0.5, 2)
    assert scores.per_class["c"].support == 0
    assert scores.macro_f1 == pytest.approx((2 / 3 + 0.5) / 2), (
        "a label not in the split counts not"
    )
    assert scores.confusion_matrix == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_log_loss_is_sklearns_and_finite_for_the_impossible() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), size=50)
    truth = [LABELS[index] for index in rng.integers(0, 3, 50)]
    result = outcome_of(truth, [LABELS[i] for i in probabilities.argmax(axis=1)], probabilities)
    assert metrics.log_loss(result, task="single_label") == pytest.approx(
        sklearn_log_loss(truth, probabilities, labels=list(LABELS)), rel=1e-5
    )

    certain_and_wrong = outcome_of(["a"], ["b"], np.array([[0, 1, 0]], np.float32))
    assert 15 < metrics.log_loss(certain_and_wrong, task="single_label") < 17


def test_multi_label_scores_by_hand() -> None:
    probabilities = np.array([[0.9, 0.8, 0.1], [0.9, 0.1, 0.1], [0.2, 0.1, 0.1]], np.float32)
    truth = [("a", "b"), ("a", "b"), ("c",)]
    result = metrics.outcome(
        truth,
        [("a", "b"), ("a",), ()],
        probabilities,
        task="multi_label",
        labels=LABELS,
        model_labels=LABELS,
    )
    scores = metrics.scores(result, task="multi_label", labels=LABELS)

    assert scores.accuracy == pytest.approx(1 / 3), "only the first has exactly its labels"
    assert [scores.per_class[label].recall for label in LABELS] == [1.0, 0.5, 0.0]
    assert scores.macro_f1 == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert scores.confusion_matrix == [[1, 0, 0, 2], [1, 0, 1, 1], [2, 0, 1, 0]]
    truth_matrix = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    cells = np.where(truth_matrix, probabilities, 1 - probabilities)
    assert scores.log_loss == pytest.approx(-np.log(cells).mean(), rel=1e-5)


def test_class_scores_are_sklearns() -> None:
    rng = np.random.default_rng(0)
    truth, decided = rng.random((40, 8)) < 0.3, rng.random((40, 8)) < 0.3
    truth[:, 0] = decided[:, 1] = False
    result = Outcome(truth, decided, truth * 1.0, np.zeros(0), np.zeros(0))
    expected = precision_recall_fscore_support(truth, decided, average=None, zero_division=0)
    found = metrics.class_scores(result, "abcdefgh").values()
    for name, column in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [getattr(item, name) for item in found] == pytest.approx(column.tolist())
    np.testing.assert_array_equal(
        metrics.confusion_matrix(result, task="multi_label"),
        multilabel_confusion_matrix(truth, decided).reshape(-1, 4),
    )


def test_calibration_error_by_hand_and_whatever_the_order() -> None:
    # 150 statements: 15 bins of 10. Sure by 0.95 and right 7 times of 10, everywhere.
    confidence = np.full(150, 0.95) + np.repeat(np.arange(15), 10) * 1e-6
    right = np.tile([True] * 7 + [False] * 3, 15)
    assert len(metrics.calibration_bins(confidence, right)) == 15
    assert metrics.calibration_error(confidence, right) == pytest.approx(0.25, abs=1e-4)

    # Equal confidences must not be told apart by where they stand: right ones first would
    # make bins that are always right and bins that are always wrong.
    tied = np.ones(150)
    for order in (np.sort(right), np.sort(right)[::-1], right):
        assert metrics.calibration_error(tied, order) == pytest.approx(0.3)


def test_calibrated_statements_have_a_small_error_even_when_few() -> None:
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(200):
        confidence = rng.uniform(0.5, 1, 30)
        errors.append(metrics.calibration_error(confidence, rng.uniform(size=30) < confidence))
    # 15 bins of 2 would find an error of 0.23 in these perfectly calibrated statements.
    assert np.mean(errors) < 0.13


def test_chance_is_what_perfect_calibration_stays_below_19_times_of_20() -> None:
    rng = np.random.default_rng(1)
    for images in (30, 300):
        confidence = rng.uniform(0.5, 1, images)
        bound = metrics.calibration_chance(confidence)
        below = [
            metrics.calibration_error(confidence, rng.uniform(size=images) < confidence) <= bound
            for _ in range(400)
        ]
        assert 0.91 < np.mean(below) < 0.98
    assert bound < 0.1, "300 images suffice to find an error of a tenth"
    assert metrics.calibration_chance(confidence) == bound


def test_labels_a_model_does_not_know_count_as_wrong() -> None:
    truth = [("a",), ("b",), ("c",)]
    old = metrics.outcome(
        truth,
        [("a",), ("b",), ("gone",)],
        np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]], np.float32),
        task="single_label",
        labels=LABELS,
        model_labels=("a", "b", "gone"),
    )
    assert old.correct.tolist() == [True, True, False]
    assert old.right.tolist() == [True, True, False]
    assert old.confidence.tolist() == pytest.approx([0.9, 0.7, 0.8]), "sure of its own label"
    assert old.probabilities[2].tolist() == pytest.approx([0.1, 0.1, 0])
    scores = metrics.scores(old, task="single_label", labels=LABELS)
    assert scores.accuracy == pytest.approx(2 / 3)
    assert scores.per_class["c"].recall == 0
    assert scores.confusion_matrix[2] == [0, 0, 0]


def test_mcnemar_looks_at_the_images_the_models_differ_on() -> None:
    both, neither = [True] * 500, [False] * 7
    candidate = np.array(both + neither + [True] * 10 + [False] * 2)
    champion = np.array(both + neither + [False] * 10 + [True] * 2)
    # 2 · P(X ≤ 2 | 12, ½) = 2 · (1 + 12 + 66) / 4096
    assert metrics.mcnemar_p(candidate, champion) == pytest.approx(158 / 4096)
    assert metrics.mcnemar_p(champion, candidate) == pytest.approx(158 / 4096)
    assert metrics.mcnemar_p(champion, champion) == 1


@pytest.mark.parametrize(("more", "fewer"), [(0, 0), (0, 3), (3, 0), (5, 5), (300, 250)])
def test_the_one_sided_test_is_scipys(more: int, fewer: int) -> None:
    expected = binomtest(more, more + fewer, alternative="greater").pvalue if more else 1.0
    assert metrics.one_sided_mcnemar_p(more, fewer) == pytest.approx(expected)


def test_paired_counts_are_of_the_images_that_carry_the_label() -> None:
    candidate = outcome_of(["a", "a", "a", "b"], ["a", "a", "b", "a"])
    champion = outcome_of(["a", "a", "a", "b"], ["a", "c", "a", "b"])
    paired = metrics.paired_counts(candidate, champion, LABELS)
    assert (paired["a"].only_candidate, paired["a"].only_champion) == (1, 1)
    assert (paired["b"].only_candidate, paired["b"].only_champion) == (0, 1)
    assert (paired["c"].only_candidate, paired["c"].only_champion) == (0, 0)


def test_no_constant_answer_is_above_the_baseline_and_label_sets_have_no_order() -> None:
    test = [("c", "a"), ("b",), ("b",), ("b",), ("a", "c"), ("a", "c"), ("c", "a")]
    assert metrics.majority_baseline(test) == 4 / 7
    # Whatever is commonest in train: a net that always answers "b" has this accuracy.
    assert metrics.majority_baseline([("a",), ("b",), ("b",)]) == 2 / 3


def test_the_surest_mistakes_come_first_and_right_answers_never() -> None:
    probabilities = np.array(
        [[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.05, 0.95, 0.0], [0.0, 0.3, 0.7]], np.float32
    )
    result = outcome_of(["a", "b", "a", "a"], ["a", "a", "b", "c"], probabilities)
    worst = metrics.worst_mistakes(result, LABELS, 24)
    assert [mistake.index for mistake in worst] == [2, 3, 1]
    assert worst[0].given == (("b", pytest.approx(0.95)),)
    assert worst[0].missed == (("a", pytest.approx(0.05)),)
    assert len(metrics.worst_mistakes(result, LABELS, 1)) == 1


@pytest.mark.parametrize(("task", "merged"), [("single_label", 0.9), ("multi_label", 0.6)])
def test_classes_that_were_merged_have_one_probability(task: str, merged: float) -> None:
    predicted = np.array([[0.3, 0.6, 0.1]], np.float32)
    found = metrics.outcome(
        [("pet",)], [("pet",)], predicted, task=task, labels=["pet", "car"],
        model_labels=["pet", "pet", "car"],
    )  # fmt: skip
    assert found.probabilities.tolist() == [pytest.approx([merged, 0.1])]
    assert found.correct.all()
