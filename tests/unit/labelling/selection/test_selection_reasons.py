"""Uncertainty: what it scores; each reason: what it says."""

import numpy as np
import pytest

from labelling.selection.mix import REASONS
from labelling.selection.reasons.uncertainty import Uncertainty
from tests.pools import pool_of, sha

pytestmark = pytest.mark.unit


def rows(*values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, np.float32)


def test_without_a_model_nothing_is_uncertain() -> None:
    scores = Uncertainty().scores(pool_of(5, probabilities=None))
    assert scores.dtype == np.float32
    assert scores.tolist() == [0.0] * 5


def test_uncertainty_of_one_label_is_a_small_margin() -> None:
    pool = pool_of(3, probabilities=rows((1, 0, 0), (0.45, 0.1, 0.45), (0.6, 0.3, 0.1)))
    uncertainty = Uncertainty()
    assert uncertainty.scores(pool) == pytest.approx([0, 1, 0.7])
    assert uncertainty.why(pool, 2) == "the model is unsure: cat 0.60, dog 0.30"


def test_uncertainty_of_several_labels_is_nearness_to_a_threshold() -> None:
    pool = pool_of(
        3,
        task="multi_label",
        thresholds={"dog": 0.2},
        probabilities=rows((0, 0, 1), (0, 0.2, 1), (0.5, 0.2, 0.5)),
    )
    uncertainty = Uncertainty()
    assert uncertainty.scores(pool) == pytest.approx([0, (1 + 1 / 3) / 2, 1])
    assert (
        uncertainty.why(pool, 1) == "the model is unsure of dog: 0.20, and from 0.20 on it says yes"
    )


def test_corrections_and_conflicts_say_what_was_given() -> None:
    pool = pool_of(4, corrections={sha(2): ("owl", "cat")}, conflicts={sha(3): "cat or dog"})
    assert REASONS["correction"].why(pool, 2) == "a user of the predictor says: owl, cat"
    assert REASONS["label_conflict"].why(pool, 3).endswith("cat or dog")
