"""Each reason: what it scores, and what it says."""

import numpy as np
import pytest

from labelling.selection.mix import REASONS
from tests.pools import pool_of, sha

pytestmark = pytest.mark.unit


def rows(*values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, np.float32)


def test_every_reason_is_silent_where_it_knows_nothing() -> None:
    pool = pool_of(
        5,
        features=np.full((5, 8), np.nan, np.float32),
        probabilities=None,
        labelled_features=np.zeros((0, 8), np.float32),
        labelled_counts={},
    )
    for name, reason in REASONS.items():
        scores = reason.scores(pool)
        assert scores.dtype == np.float32
        assert scores.tolist() == [1.0 if name == "exploration" else 0.0] * 5


def test_uncertainty_of_one_label_is_a_small_margin() -> None:
    pool = pool_of(3, probabilities=rows((1, 0, 0), (0.45, 0.1, 0.45), (0.6, 0.3, 0.1)))
    uncertainty = REASONS["uncertainty"]
    assert uncertainty.scores(pool) == pytest.approx([0, 1, 0.7])
    assert uncertainty.why(pool, 2) == "the model is unsure: cat 0.60, dog 0.30"


def test_uncertainty_of_several_labels_is_nearness_to_a_threshold() -> None:
    pool = pool_of(
        3,
        task="multi_label",
        thresholds={"dog": 0.2},
        probabilities=rows((0, 0, 1), (0, 0.2, 1), (0.5, 0.2, 0.5)),
    )
    uncertainty = REASONS["uncertainty"]
    assert uncertainty.scores(pool) == pytest.approx([0, (1 + 1 / 3) / 2, 1])
    assert (
        uncertainty.why(pool, 1) == "the model is unsure of dog: 0.20, and from 0.20 on it says yes"
    )


def test_disagreement_is_none_for_the_same_and_a_bit_for_contradiction() -> None:
    pool = pool_of(
        3,
        probabilities=rows((1, 0, 0), (1, 0, 0), (0.5, 0.5, 0)),
        staging_probabilities=rows((1, 0, 0), (0, 0, 1), (np.nan, 0, 0)),
    )
    disagreement = REASONS["disagreement"]
    assert disagreement.scores(pool) == pytest.approx([0, 1, 0])
    assert disagreement.why(pool, 1) == "production says cat 1.00, staging owl 1.00"


def test_disagreement_of_several_labels_is_that_of_the_worst() -> None:
    pool = pool_of(
        2,
        task="multi_label",
        probabilities=rows((1, 0.5, 0), (0.9, 0.5, 0.1)),
        staging_probabilities=rows((0, 0.5, 0), (0.9, 0.5, 0.1)),
    )
    assert REASONS["disagreement"].scores(pool) == pytest.approx([1, 0])
    assert REASONS["disagreement"].why(pool, 0) == "production says cat 1.00, staging cat 0.00"


def test_class_balance_looks_for_labels_that_few_images_have() -> None:
    pool = pool_of(
        2,
        probabilities=rows((0.8, 0.1, 0.1), (0.1, 0.1, 0.8)),
        labelled_counts={"cat": 20, "dog": 10},
    )
    balance = REASONS["class_balance"]
    assert balance.scores(pool) == pytest.approx([0.1, 0.8])
    assert balance.why(pool, 1) == "maybe owl (0.80), of which 0 are labelled where 10 is the mean"
    even = pool_of(2, labelled_counts=dict.fromkeys(pool.labels, 10))
    assert balance.scores(even).tolist() == [0, 0]


def test_novelty_is_far_from_everything_labelled() -> None:
    rng = np.random.default_rng(0)
    features = np.float32([5, 0, 0, 0]) + rng.normal(scale=0.2, size=(100, 4))
    features[42] = [0, 0, 0, 5]
    pool = pool_of(
        100,
        width=4,
        features=features.astype(np.float32),
        labelled_features=features[:10].astype(np.float32),
    )
    scores = REASONS["novelty"].scores(pool)
    assert scores.argmax() == 42
    assert scores[42] == 1
    assert (scores == 0).sum() >= 70
    assert "times the usual distance from the nearest labelled image" in REASONS["novelty"].why(
        pool, 42
    )


def test_diversity_prefers_the_middle_of_what_is_not_labelled() -> None:
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1], [200, 60])
    features = np.eye(2, 10, dtype=np.float32)[kind] * 5
    features = (features + rng.normal(scale=0.3, size=features.shape)).astype(np.float32)
    pool = pool_of(260, width=10, features=features, labelled_features=features[:40])
    scores = REASONS["diversity"].scores(pool)
    assert scores[200:].mean() > 1.5 * scores[:200].mean()
    assert 200 <= scores.argmax() < 260
    assert "none of their kind labelled" in REASONS["diversity"].why(pool, int(scores.argmax()))


def test_corrections_and_conflicts_score_their_images() -> None:
    pool = pool_of(4, corrections={sha(2): ("owl", "cat")}, conflicts={sha(3): "cat or dog"})
    assert REASONS["correction"].scores(pool).tolist() == [0, 0, 1, 0]
    assert REASONS["correction"].why(pool, 2) == "a user of the predictor says: owl, cat"
    assert REASONS["label_conflict"].scores(pool).tolist() == [0, 0, 0, 1]
    assert REASONS["label_conflict"].why(pool, 3).endswith("cat or dog")
