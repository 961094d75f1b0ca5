"""Picks that make the model surest: the quick updates pick what the definition would."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelling.selection.design import (
    Design,
    design,
    information,
    logit_variance,
    reduce_variance,
)

pytestmark = pytest.mark.unit


def start(points: np.ndarray, labelled: np.ndarray | None = None, variance: float = 4.0) -> Design:
    seen = np.zeros((0, points.shape[1])) if labelled is None else labelled
    return design(points, seen, np.full(len(seen), 0.25), variance)


def picks(
    points: np.ndarray, size: int, before: Design | None = None, **changes: np.ndarray
) -> list[int]:
    given = {
        "value": np.ones(len(points)),
        "information": np.full(len(points), 0.25),
        "known": np.ones(len(points), bool),
    } | changes
    messages: list[int] = []
    found = reduce_variance(
        before or start(points),
        points,
        given["value"],
        given["information"],
        size,
        known=given["known"],
        on_pick=messages.append,
    )
    assert messages == list(range(1, len(found) + 1))
    return found


def variance_left(
    before: Design, points: np.ndarray, value: np.ndarray, expected: np.ndarray, picked: list[int]
) -> float:
    """The definition, written down: Σ value · xᵀ Σ x after the labels of ``picked``."""
    x = np.column_stack([points / before.length, np.ones(len(points))])
    precision = np.linalg.inv(before.covariance)
    for i in picked:
        precision = precision + expected[i] * np.outer(x[i], x[i])
    return float(value @ np.einsum("ij,jk,ik->i", x, np.linalg.inv(precision), x))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 20), size=st.integers(1, 12))
def test_every_pick_takes_most_of_the_variance_away(seed: int, n: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    points, value = rng.normal(size=(n, 3)), rng.random(n) + 0.01
    reported = rng.uniform(0.01, 0.25, n)
    before = start(points, rng.normal(size=(4, 3)))
    found = picks(points, size, before, value=value, information=reported)
    assert len(set(found)) == len(found) == min(n, size)
    for place, pick in enumerate(found):
        left = {
            i: variance_left(before, points, value, reported, [*found[:place], i])
            for i in set(range(n)) - set(found[:place])
        }
        assert left[pick] == pytest.approx(min(left.values()), rel=1e-7)


def test_of_like_points_one_is_picked_before_any_second() -> None:
    points = np.repeat([[0.0, 1.0, 0.0], [5.0, 0.0, 0.0], [0.0, 0.0, 5.0]], [20, 5, 2], axis=0)
    found = picks(points, 3)
    assert len({tuple(points[i]) for i in found}) == 3


def test_what_labelled_images_tell_gives_way() -> None:
    points = np.array([[5.0, 0.0], [0.0, 5.0]])
    assert picks(points, 1, start(points, np.repeat(points[:1], 9, axis=0))) == [1]
    assert picks(points, 1, start(points, np.repeat(points[1:], 9, axis=0))) == [0]


def test_a_label_counts_by_the_decisions_it_helps() -> None:
    points = np.array([[5.0, 0.0], [5.0, 0.1], [0.0, 5.0], [0.1, 5.0]])
    assert picks(points, 1, value=np.array([1, 1, 0.1, 0.1]))[0] in (0, 1)
    assert picks(points, 1, value=np.array([0.1, 0.1, 1, 1]))[0] in (2, 3)


def test_a_label_that_is_known_before_shows_nothing() -> None:
    points = np.array([[5.0, 0.0], [5.0, 0.0]])
    assert picks(points, 1, information=np.array([0.01, 0.25])) == [1]


def test_points_that_are_not_known_tell_of_themselves_only() -> None:
    points = np.array([[1.0, 0.0]] * 8 + [[0.0, 0.0]] * 2)
    known = np.arange(10) < 8
    found = picks(points, 10, known=known)
    assert sorted(found) == list(range(10))
    assert found[0] < 8  # one label for eight decisions
    doubted = picks(points, 10, known=known, value=np.where(known, 1.0, 100.0))
    assert set(doubted[:2]) == {8, 9}
    assert picks(points, 10, known=known, value=np.where(known, 1.0, 1e-6))[-1] in (8, 9)


def test_nothing_is_picked_of_nothing() -> None:
    assert picks(np.zeros((0, 2)), 3) == []


def test_points_all_in_one_place_and_labels_of_one_kind_are_no_trouble() -> None:
    assert sorted(picks(np.zeros((5, 2)), 5)) == [0, 1, 2, 3, 4]
    assert logit_variance(np.full((4, 3), 1 / 3)) == pytest.approx(0.1)


def test_information_is_that_of_logistic_regression() -> None:
    predicted = information(np.array([[0.5, 0.5], [0.9, 0.1], [1.0, 0.0]]))
    assert predicted == pytest.approx([0.25, 0.09, 0.01])


def test_the_prior_allows_for_the_logits_there_are() -> None:
    p = np.array([[0.1, 0.9], [0.9, 0.1]])
    assert logit_variance(p) == pytest.approx(np.log(9) ** 2)
    assert np.isfinite(logit_variance(np.array([[0.0, 1.0], [1.0, 0.0]])))
    x = np.array([[3.0, 0.0], [0.0, 3.0]])
    before = design(x, x[:0], np.zeros(0), 2.5)
    assert np.einsum(
        "ij,jk,ik->i", x / before.length, before.covariance[:2, :2], x / before.length
    ) == (pytest.approx([2.5, 2.5]))
