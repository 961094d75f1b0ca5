"""The benchmark of the share at random: what counts, and how the test score is judged."""

import numpy as np
import pytest

from benchmarks.exploration_share import HARD, Arm, Queue, curves_of, errors_at
from tests.pools import labelled_set

pytestmark = pytest.mark.unit


def test_bias_and_error_are_those_of_the_test_accuracy() -> None:
    points = [[(10, 0.5, float("nan"), 0), (20, 0.8, tested, 4)] for tested in (0.9, 0.8, 0.6)]
    bias, spread, rms, tests = errors_at(points, 15)
    assert (bias, tests) == (pytest.approx(-10 / 3), 4)
    assert rms == pytest.approx(np.sqrt((100 + 0 + 400) / 3))
    assert spread == pytest.approx(np.std([10, 0, -20], ddof=1) / np.sqrt(3))


def test_a_seed_without_a_test_image_does_not_count() -> None:
    points = [[(10, 0.5, 0.6, 1)], [(10, 0.5, float("nan"), 0)], [(10, 0.5, 0.4, 1)]]
    bias, _, rms, tests = errors_at(points, 10)
    assert (bias, rms) == (pytest.approx(0), pytest.approx(10))
    assert tests == pytest.approx(2 / 3)


def test_only_a_random_draw_labels_test_images() -> None:
    images = labelled_set(300, most=60)
    first = Queue(images, 0).points(Arm(0.0))
    assert [point[0] for point in first] == [9, 19, 29, 39, 49, 59, 69]
    assert len({point[3] for point in first}) == 1, "no test image after the first draw"
    drawn = Queue(images, 0).points(Arm(0.5))
    chosen = Queue(images, 0).points(HARD)
    assert drawn[-1][3] > first[-1][3]
    assert chosen[-1][3] > first[-1][3]
    whole = Queue(images, 0).points(None)
    assert whole[0][0] == 300 - 60 - 30
    assert curves_of([first, first]).accuracy.shape == (2, 7)
