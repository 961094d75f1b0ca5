"""The map of the pool: drawn whatever the features and the labels are."""

import io

import numpy as np
import pytest
from PIL import Image

from training.evaluation.pool_map import MOST_POINTS, _drawn, _plane, draw_pool_map

pytestmark = pytest.mark.unit


def test_the_two_directions_are_those_of_most_spread() -> None:
    rng = np.random.default_rng(0)
    far = np.zeros((300, 20), np.float32)
    far[:, 3] = rng.normal(size=300) * 5
    far[:, 7] = rng.normal(size=300) * 3
    far += rng.normal(size=far.shape).astype(np.float32) * 0.01 + 10 * np.eye(20)[0]
    points = _plane(far)
    exact = np.linalg.svd(_centred(far), full_matrices=False)[1][:2]
    assert np.linalg.norm(points, axis=0) == pytest.approx(exact, rel=0.02)


def _centred(features: np.ndarray) -> np.ndarray:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    found: np.ndarray = unit - unit.mean(0)
    return found


def test_of_too_many_the_chosen_are_drawn() -> None:
    chosen = np.zeros(3 * MOST_POINTS, bool)
    chosen[::50] = True
    rows = _drawn(chosen)
    assert len(rows) == len(set(rows.tolist())) == MOST_POINTS
    assert chosen[rows].sum() == chosen.sum()


@pytest.mark.parametrize("dimensions", [1, 2, 50])
def test_it_is_a_picture(dimensions: int) -> None:
    features = np.random.default_rng(0).normal(size=(30, dimensions)).astype(np.float32)
    names = ["$x_1$", "_hidden", "日本", "a" * 80, None, *(f"label {n}" for n in range(20))]
    labels = [names[number % len(names)] for number in range(30)]
    data = draw_pool_map(features, labels, np.arange(30) < 3, "3 of $30$ images")
    assert Image.open(io.BytesIO(data)).size[0] > 400
    assert data == draw_pool_map(features, labels, np.arange(30) < 3, "3 of $30$ images")


def test_images_that_are_all_alike_and_one_alone() -> None:
    same = np.ones((5, 4), np.float32)
    assert draw_pool_map(same, [None] * 5, np.zeros(5, bool), "alike")
    with pytest.raises(ValueError, match="two images"):
        draw_pool_map(same[:1], [None], np.zeros(1, bool), "alone")
