"""The benchmark of labels needed: where a curve crosses, its intervals, and its strategies."""

import numpy as np
import pytest

from benchmarks.annotator_probe import Split, fitted
from benchmarks.label_efficiency import Curves, Simulation, labels_needed, share_of
from benchmarks.labelled_sets import LabelledSet
from benchmarks.labelling_strategies import STRATEGIES, State, drop_query, margin
from tests.pools import labelled_set

pytestmark = pytest.mark.unit

CLASSES = ("a", "b", "c")


def state(images: LabelledSet, labelled: np.ndarray) -> State:
    free = np.setdiff1d(np.arange(len(images.targets)), labelled)
    split = Split(images.x, images.targets, len(CLASSES))
    probe = fitted(images.x[labelled], images.targets[labelled], split.take(free[:30]), 5)
    return State(images, free, labelled, probe, np.random.default_rng(0))


def test_labels_needed_are_read_off_a_curve_that_never_falls() -> None:
    labels = np.array([0, 10, 20, 30, 40])
    jagged = Curves(labels, np.array([[0.0, 0.9, 0.3, 0.6, 1.0]]))
    assert labels_needed(jagged, 0.8) == pytest.approx(35)
    assert np.isnan(labels_needed(jagged, 1.1))


def test_the_share_is_paired_by_seed() -> None:
    labels = np.array([0, 10, 20, 30])
    rng = np.random.default_rng(3)
    reached = np.array([0.0, 0.4, 0.8, 1.0]) * rng.uniform(0.8, 1, size=(20, 1))
    same = share_of(Curves(labels, reached), Curves(labels, reached), 0.6)
    assert same == (1.0, 1.0, 1.0)  # unpaired resamples would differ
    share, low, high = share_of(Curves(labels // 2, reached), Curves(labels, reached), 0.6)
    assert (share, low, high) == pytest.approx((0.5, 0.5, 0.5), abs=0.02)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_a_strategy_labels_each_image_once_in_batches_of_the_size(strategy) -> None:
    points = Simulation(labelled_set(240, most=40), 3).curve(strategy)
    assert [count for count, _ in points] == [6, 16, 26, 36, 46]
    assert points == Simulation(labelled_set(240, most=40), 3).curve(strategy)


def test_margin_takes_the_closest_decisions() -> None:
    before = state(labelled_set(240, most=40), np.arange(12))
    chosen = margin(before, 5)
    top = np.sort(before.probabilities(before.free), axis=1)
    gaps = dict(zip(before.free.tolist(), (top[:, -1] - top[:, -2]).tolist(), strict=True))
    assert sorted(gaps[row] for row in chosen.tolist()) == sorted(gaps.values())[:5]


def test_drop_query_takes_images_whose_prediction_dropout_changes() -> None:
    before = state(labelled_set(240, most=40), np.arange(30))
    chosen = drop_query(before, 8)
    certain = before.probabilities(before.free).max(1)
    of_chosen = before.probabilities(chosen).max(1)
    assert len(set(chosen.tolist())) == 8
    assert of_chosen.mean() < certain.mean()  # sure predictions survive the dropout
