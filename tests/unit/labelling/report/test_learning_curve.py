"""Learning curves: what is predicted holds as often as it says."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelling.report.curve_law import CurveError, Points, fit

pytestmark = pytest.mark.unit

FRACTIONS = (0.1, 0.18, 0.3, 0.5, 0.7, 1.0)


def law(n: float, labels: int, floor: float, excess: float, rate: float) -> float:
    return float(1 - floor - excess * (n / labels) ** -rate)


def measured(
    rng: np.random.Generator,
    labels: int,
    shape: tuple[float, float, float],
    deviation: float,
    *,
    more: int = 0,
    draws: int = 6,
    there: int = 0,
) -> tuple[Points, float]:
    """Scores at nested subsets of ``labels``, each label having an influence of its own; and the
    true gain by ``more`` labels, of ``there`` in all (which these are a sample of)."""
    there = there or labels
    influence = rng.normal(0, deviation * labels**0.5, there + more)
    sizes = [round(f * labels) for f in FRACTIONS]
    scores: list[list[float]] = [[] for _ in sizes]
    for _ in range(draws):
        total = np.cumsum(influence[rng.permutation(labels)])
        for place, n in enumerate(sizes):
            scores[place].append(law(n, labels, *shape) + total[n - 1] / n)
    before = law(there, labels, *shape) + influence[:there].mean()
    after = law(there + more, labels, *shape) + influence.mean()
    return Points(sizes=sizes, scores=scores), float(after - before)


@pytest.mark.parametrize(
    ("labels", "shape", "deviation"),
    [
        (300, (0.10, 0.10, 0.5), 0.010),
        (1000, (0.08, 0.03, 0.5), 0.004),
        (200, (0.20, 0.15, 0.3), 0.020),
        (2000, (0.05, 0.02, 1.0), 0.003),
        (100, (0.30, 0.02, 0.5), 0.020),
        (400, (0.00, 0.12, 0.4), 0.010),
    ],
)
def test_eighty_percent_intervals_hold_the_truth(
    labels: int, shape: tuple[float, float, float], deviation: float
) -> None:
    rng = np.random.default_rng(labels)
    held, tries = 0, 100
    for seed in range(tries):
        points, gain = measured(rng, labels, shape, deviation, more=labels // 2)
        expected = fit(points, seed=seed).gain(labels // 2)
        assert expected.low is not None
        assert expected.high is not None
        held += expected.low <= gain <= expected.high
    assert held >= 0.8 * tries  # as docs/labelling.md says


@pytest.mark.parametrize(
    ("shape", "deviation"),
    [
        ((0.05, 0.10, 0.5), 0.001),
        ((0.10, 0.05, 0.3), 0.002),
        ((0.05, 0.04, 1.0), 0.001),
        ((0.00, 0.12, 0.4), 0.002),
    ],
)
def test_of_a_sample_it_is_foretold_what_more_brings_to_all(
    shape: tuple[float, float, float], deviation: float
) -> None:
    rng = np.random.default_rng(40_000)
    held, tries, values, gains = 0, 50, [], []
    for seed in range(tries):
        points, gain = measured(rng, 10_000, shape, deviation, more=5000, there=40_000)
        expected = fit(points, seed=seed).gain(5000, there=40_000)
        assert expected.low is not None
        assert expected.high is not None
        held += expected.low <= gain <= expected.high
        values.append(expected.value or 0.0)
        gains.append(gain)
    assert held >= 0.8 * tries
    assert np.mean(values) == pytest.approx(np.mean(gains), abs=0.002)


def test_a_clean_law_is_followed_from_ten_thousand_labels_to_forty_thousand() -> None:
    points, _ = measured(np.random.default_rng(0), 10_000, (0.05, 0.1, 0.5), 1e-5)
    gain = fit(points).gain(2000, there=40_000).value
    assert gain == pytest.approx(0.05 * (1 - 1.05**-0.5), abs=1e-4)  # 0.12 points, not 0.87


def test_a_small_sample_says_nothing_of_all() -> None:
    points, _ = measured(np.random.default_rng(0), 1000, (0.05, 0.1, 0.5), 1e-4)
    assert fit(points).gain(100, there=10_000).value
    with pytest.raises(CurveError, match="measured on 1,000 of 10,001"):
        fit(points).gain(100, there=10_001)


def test_a_curve_without_noise_is_found() -> None:
    points, gain = measured(np.random.default_rng(0), 1000, (0.05, 0.1, 0.5), 1e-4, more=500)
    curve = fit(points)
    assert curve.gain(500).value == pytest.approx(gain, abs=0.002)
    assert curve.at(1000).value == pytest.approx(0.85, abs=0.002)
    needed = curve.labels_for(law(1500, 1000, 0.05, 0.1, 0.5), of=1500)
    assert needed.value == pytest.approx(1500, rel=0.1)
    assert needed.low is not None
    assert needed.low <= 1500 <= (needed.high or np.inf)


def test_the_same_points_give_the_same_curve() -> None:
    points, _ = measured(np.random.default_rng(1), 200, (0.1, 0.1, 0.5), 0.01)
    assert fit(points).gain(50) == fit(points).gain(50)


def test_a_score_out_of_reach_takes_no_number_of_labels() -> None:
    points, _ = measured(np.random.default_rng(2), 1000, (0.2, 0.1, 0.5), 1e-3)
    assert fit(points).labels_for(0.95, of=1000).value is None


def test_a_flat_curve_promises_nothing() -> None:
    points, _ = measured(np.random.default_rng(3), 1000, (0.1, 0.0, 0.5), 1e-3, more=200)
    gain = fit(points).gain(200)
    assert abs(gain.value or 0) < 0.003


def test_a_falling_curve_is_taken_for_a_flat_one() -> None:
    scores = [[0.9, 0.91], [0.8, 0.81], [0.7, 0.71], [0.6, 0.61], [0.5]]
    gain = fit(Points(sizes=[100, 200, 300, 400, 500], scores=scores))
    assert np.isfinite(gain.law(600)).all()


@pytest.mark.parametrize(
    ("sizes", "scores", "says"),
    [
        ([10, 20, 40], [[0.5, 0.6]] * 3, "3 sizes"),
        ([2, 4, 8, 16], [[0.5, 0.6]] * 4, "16 labels"),
        ([10, 20, 40, 80], [[0.5]] * 4, "drawn twice"),
    ],
)
def test_too_little_is_refused_by_name(
    sizes: list[int], scores: list[list[float]], says: str
) -> None:
    with pytest.raises(CurveError, match=says):
        fit(Points(sizes=sizes, scores=scores))


def test_nobody_looks_further_than_twice_the_labels() -> None:
    points, _ = measured(np.random.default_rng(4), 100, (0.1, 0.1, 0.5), 0.01)
    with pytest.raises(CurveError, match="too far"):
        fit(points).gain(101)


def test_a_wide_interval_is_no_answer() -> None:
    points, _ = measured(np.random.default_rng(5), 24, (0.1, 0.2, 0.5), 0.15)
    with pytest.raises(CurveError, match="points wide"):
        fit(points).gain(24)


@pytest.mark.parametrize("sizes", [[4, 4], [0, 2], [3, 2]])
def test_sizes_increase(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="increase"):
        Points(sizes=sizes, scores=[[0.5], [0.6]])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=4), min_size=5, max_size=5))
def test_any_scores_give_numbers(scores: Sequence[list[float]]) -> None:
    curve = fit(Points(sizes=[20, 40, 80, 160, 320], scores=list(scores)))
    assert np.isfinite(curve.law(400)).all()
    found = curve.at(400)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.high <= 1
