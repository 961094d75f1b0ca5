"""The benchmark of labels needed: its probe is the product's, its crossing no lucky point."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from benchmarks.label_efficiency import labels_needed
from benchmarks.labelling_probe import Split, fit
from benchmarks.processes import BenchmarkFailed
from training.fitting.probe import STRENGTHS

pytestmark = pytest.mark.unit


def made(n: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    targets = rng.integers(3, size=n)
    centres = np.random.default_rng(0).normal(size=(3, 60))
    features = centres[targets] + 1.5 * rng.normal(size=(n, 60))
    return Split(features.astype(np.float32), targets)


@cache
def plain(n: int) -> list[Callable[[Split], np.ndarray]]:
    """The probabilities by a probe of each strength, fitted without any short cut."""
    train = made(n, 1)
    mean, std = train.features.mean(0), train.features.std(0)

    def fitted(strength: float) -> Callable[[Split], np.ndarray]:
        model = LogisticRegression(C=strength, max_iter=1000, tol=1e-4)
        model.fit((train.features - mean) / std, train.targets)
        return lambda split: model.predict_proba((split.features - mean) / std)

    return [fitted(strength) for strength in STRENGTHS]


@pytest.mark.parametrize("n", [30, 200])
@pytest.mark.parametrize("start", [0, 5, 10])
def test_the_short_cuts_lead_to_the_same_probe(n: int, start: int) -> None:
    train, val, test = made(n, 1), made(300, 2), made(300, 3)
    probe = fit(train, val, 3, start)
    tried = plain(n)
    losses = [-np.log(model(val)[np.arange(300), val.targets]).mean() for model in tried]
    assert losses[probe.strength] == pytest.approx(min(losses), abs=2e-3)
    expected = tried[probe.strength](test)
    assert probe.probabilities(test.features) == pytest.approx(expected, abs=0.03)


def test_a_class_without_images_has_no_probability() -> None:
    train = made(40, 1)
    rows = np.flatnonzero(train.targets != 1)
    probe = fit(train.take(rows), made(50, 2), 3, 5)
    assert (probe.probabilities(train.features)[:, 1] == 0).all()


def test_labels_needed_are_read_off_a_curve_that_never_falls() -> None:
    labels = np.array([0, 10, 20, 30, 40])
    jagged = np.stack([labels, [0.0, 0.9, 0.3, 0.6, 1.0]], axis=1)[None]
    assert labels_needed("x", jagged, 0.8) == pytest.approx(35)
    with pytest.raises(BenchmarkFailed, match="x: 100.0% right with 40 labels, not 110.0%"):
        labels_needed("x", jagged, 1.1)
