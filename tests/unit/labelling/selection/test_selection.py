"""What holds of every batch, whatever the pool."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelling.selection.batch import _interleaved
from labelling.selection.choose import choose
from labelling.selection.herding import spread
from labelling.selection.mix import DEFAULT_WEIGHTS, REASONS
from labelling.selection.pool import Pool
from labelling.selection.reviews import REVIEWED
from tests.pools import pool_of, sha

pytestmark = pytest.mark.unit

SPLITS = ("train", "val", "test")


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """Pools with all that goes wrong: unknown rows, duplicates, no model, no label, one class."""
    n = draw(st.integers(0, 40))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    labels = tuple("abcd"[: draw(st.integers(1, 4))])
    task = draw(st.sampled_from(["single_label", "multi_label"]))
    changes: dict[str, Any] = {"task": task}
    changes["split"] = np.array([SPLITS[i] for i in rng.integers(3, size=n)], dtype="<U5")
    groups = rng.integers(max(1, draw(st.integers(1, 40))), size=n)
    changes["group"] = np.char.add(changes["split"], groups.astype(str))
    if draw(st.booleans()):
        changes["probabilities"] = None
    elif draw(st.booleans()):
        changes["staging_probabilities"] = rng.random((n, len(labels)), np.float32)
    pool = pool_of(n, labels=labels, seed=int(rng.integers(1000)), **changes)
    features = pool.features.copy()
    features[rng.random(n) < draw(st.sampled_from([0, 0.3, 1]))] = np.nan
    if n and draw(st.booleans()):
        features[:] = features[0]
    changes["features"] = features
    named = [sha(int(number)) for number in rng.integers(60, size=draw(st.integers(0, 8)))]
    changes["corrections"] = dict.fromkeys(named[::2], ("a",))
    changes["conflicts"] = dict.fromkeys(named[1::2], "a or b")
    changes["labelled_groups"] = frozenset(changes["group"][: draw(st.integers(0, 3))].tolist())
    if draw(st.booleans()):
        predicted = rng.random((len(pool.labelled_features), len(labels)), np.float32)
        predicted[::2] = np.nan
        changes["labelled_probabilities"] = predicted
    elif draw(st.booleans()):
        changes["labelled_features"] = np.zeros((0, 8), np.float32)
        changes["labelled_counts"] = {}
    return pool_of(n, labels=labels, seed=int(rng.integers(1000)), **changes)


@settings(max_examples=150, deadline=None)
@given(
    pool=pools(),
    size=st.integers(0, 45),
    share=st.sampled_from([0.0, 0.2, 1.0]),
    seed=st.integers(0, 99),
    doubts=st.integers(0, 8),
    weights=st.dictionaries(st.sampled_from(list(DEFAULT_WEIGHTS)), st.sampled_from([0.0, 2.0])),
)
def test_what_holds_of_every_batch(
    pool: Pool, size: int, share: float, seed: int, doubts: int, weights: dict[str, float]
) -> None:
    options: dict[str, Any] = {"exploration_share": share, "weights": weights, "seed": seed}
    options["doubts"] = doubts
    choices = choose(pool, size, **options)
    assert choices == choose(pool, size, **options)
    position = {sha256: i for i, sha256 in enumerate(pool.sha256.tolist())}
    assert len({choice.sha256 for choice in choices}) == len(choices) <= size + doubts

    inside = [(choice, position[choice.sha256]) for choice in choices if choice.sha256 in position]
    groups = [pool.group[row] for _, row in inside]
    assert len(set(groups)) == len(groups)
    for choice, row in inside:
        if pool.split[row] != "train":
            assert choice.reason in ("exploration", "label_conflict")
            assert share > 0 or choice.reason == "label_conflict"
        if choice.reason not in ("correction", "label_conflict"):
            assert pool.group[row] not in pool.labelled_groups

    for place, choice in enumerate(choices):
        assert choice.reason in choice.reasons
        assert set(choice.reasons) <= set(REASONS)
        assert choice.why
        assert "nan" not in choice.why
        assert 0 <= choice.score <= 1.0001
        if choice.reason in REVIEWED:
            assert choice.priority < 1e-3
        else:
            assert choice.priority == place / len(choices)
    places = [choice.priority for choice in choices]
    assert places == sorted(set(places))

    free = {pool.group[row] for row in range(len(pool))} - pool.labelled_groups
    if share:  # nobody waits for work while there is some
        assert len(choices) >= min(size, len(free))


def test_chance_is_spread_evenly_among_the_best() -> None:
    best, chance = ["b0", "b1", "b2", "b3"], ["c0", "c1"]
    mixed: Any = _interleaved(best, chance)
    assert mixed == ["b0", "c0", "b1", "b2", "c1", "b3"]


def test_without_a_model_what_is_worth_most_counts_squared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else many images that are half worth it, in a heap, beat one that is."""
    pool, given = pool_of(30, seed=3, probabilities=None), list[np.ndarray]()

    def watched(points: np.ndarray, value: np.ndarray, *rest: Any, **options: Any) -> list[int]:
        given.append(np.sort(value))
        return spread(points, value, *rest, **options)

    monkeypatch.setattr("labelling.selection.batch.spread", watched)
    choices = choose(pool, 10, exploration_share=0.0, weights={"novelty": 1.0}, seed=1)
    worth = {round(float(value), 5) for value in given[0]}
    scores = [choice.score for choice in choices if choice.reason == "novelty"]
    assert scores
    assert {round(score**2, 5) for score in scores} <= worth
    assert any(round(score, 5) not in worth for score in scores)
