"""What holds of every batch, whatever the pool."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelling.selection.batch import _interleaved
from labelling.selection.choose import choose
from labelling.selection.mix import REASONS
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
    else:
        probabilities = rng.dirichlet(np.ones(len(labels)), n).astype(np.float32)
        probabilities[rng.random(n) < draw(st.sampled_from([0, 0.3, 1]))] = np.nan
        if n and draw(st.booleans()):
            probabilities[:] = probabilities[0]
        changes["probabilities"] = probabilities
    named = [sha(int(number)) for number in rng.integers(60, size=draw(st.integers(0, 8)))]
    changes["corrections"] = dict.fromkeys(named[::2], ("a",))
    changes["conflicts"] = dict.fromkeys(named[1::2], "a or b")
    changes["labelled_groups"] = frozenset(changes["group"][: draw(st.integers(0, 3))].tolist())
    return pool_of(n, labels=labels, seed=int(rng.integers(1000)), **changes)


@settings(max_examples=150, deadline=None)
@given(
    pool=pools(),
    size=st.integers(0, 45),
    share=st.sampled_from([0.0, 0.2, 1.0]),
    seed=st.integers(0, 99),
    doubts=st.integers(0, 8),
)
def test_what_holds_of_every_batch(
    pool: Pool, size: int, share: float, seed: int, doubts: int
) -> None:
    options: dict[str, Any] = {"exploration_share": share, "seed": seed}
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
