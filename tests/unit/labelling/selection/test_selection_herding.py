"""Spreading picks: the lazy greedy picks what the plain one would."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelling.selection.herding import likeness, spread

pytestmark = pytest.mark.unit


def plain_greedy(
    points: np.ndarray, value: np.ndarray, covered: np.ndarray, size: int, radius: float
) -> list[int]:
    """The definition, written down."""
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    alike = likeness(apart, radius)
    picked: list[int] = []
    for _ in range(min(size, len(points))):
        gains = [
            -1 if i in picked else float(value @ np.maximum(alike[i] - covered, 0))
            for i in range(len(points))
        ]
        picked.append(int(np.argmax(gains)))
        covered = np.maximum(covered, alike[picked[-1]])
    return picked


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 25), size=st.integers(1, 25))
def test_lazy_picks_are_the_greedy_picks(seed: int, n: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 3)).astype(np.float32)
    value = rng.random(n, np.float32)
    covered = rng.random(n, np.float32) / 2
    picked = spread(points, value, covered, size, radius=0.8)
    expected = plain_greedy(points.astype(float), value, covered, size, 0.8)
    # once all is covered but for rounding, the order is rounding's
    head = min(len(expected), max(1, n // 2))
    assert picked[:head] == expected[:head]
    assert len(set(picked)) == len(picked) == min(n, size)


def test_of_like_points_one_is_picked_before_any_second() -> None:
    points = np.repeat(np.float32([[0, 0], [5, 0], [0, 5]]), [50, 5, 1], axis=0)
    picked = spread(points, np.ones(56, np.float32), np.zeros(56, np.float32), 3, radius=1.0)
    assert [points[i].tolist() for i in picked] == [[0, 0], [5, 0], [0, 5]]


def test_what_labelled_images_cover_gives_way() -> None:
    points = np.float32([[0, 0], [0, 0], [0, 0], [9, 9]])
    covered = np.float32([1, 1, 1, 0])
    assert spread(points, np.ones(4, np.float32), covered, 1, radius=1.0) == [3]


def test_points_that_are_not_known_are_like_none() -> None:
    points = np.zeros((4, 2), np.float32)
    value = np.float32([0.9, 0.8, 0.5, 0.4])
    known = np.array([True, True, False, False])
    picked = spread(points, value, np.zeros(4, np.float32), 3, radius=1.0, known=known)
    assert picked == [0, 2, 3]


def test_nothing_is_picked_of_nothing() -> None:
    none = np.zeros(0, np.float32)
    assert spread(np.zeros((0, 2), np.float32), none, none, 3, radius=1.0) == []
