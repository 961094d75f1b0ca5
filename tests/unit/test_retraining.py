"""When it is time to train anew."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.policies import RetrainPolicy
from assets.retraining import decide_retraining

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
POLICY = RetrainPolicy()
TRAINED = {f"c{n}": ["cat"] for n in range(100)} | {f"d{n}": ["dog"] for n in range(40)}


def decided(
    newest: dict[str, list[str]], *, by: str = "label_studio", hours: float = 1, **policy: Any
):
    said = {image: (by, NOW - timedelta(hours=hours)) for image in {*newest, *TRAINED}}
    chosen = RetrainPolicy(**policy)
    return decide_retraining(TRAINED, newest, said, chosen, NOW.timestamp())


def plus(label: str, count: int) -> dict[str, list[str]]:
    return TRAINED | {f"new-{label}-{n}": [label] for n in range(count)}


def due(found: Any) -> bool:
    return found.is_due(NOW.timestamp())


def test_the_first_training_is_due_and_the_same_again_is_not():
    assert due(decide_retraining(None, TRAINED, {}, POLICY, NOW.timestamp()))
    assert decided(TRAINED).due_at is None
    assert decided({image: [*labels] for image, labels in TRAINED.items()}).due_at is None


def test_enough_labels_are_due():
    few = decided(plus("cat", 9))
    assert not due(few)
    assert "9 of 50 new labels" in few.reason
    assert due(decided(plus("cat", 50), share_of_class=1))
    assert not due(decided(plus("cat", 49), share_of_class=1))


def test_so_is_a_share_of_a_class_unless_that_is_next_to_nothing():
    assert due(decided(plus("dog", 5)))
    assert "5 of dog (12% of what it had; 10% is enough)" in decided(plus("dog", 5)).reason
    assert not due(decided(plus("dog", 3)))
    assert not due(decided(plus("fox", 4)))  # a new class
    assert due(decided(plus("fox", 5)))
    assert due(decided(plus("fox", 1) | plus("dog", 6)))  # fox's share is greater, and too small


def test_so_is_a_label_that_waited_long():
    young = decided(plus("cat", 1), hours=23)
    assert not due(young)
    assert young.is_due(NOW.timestamp() + 3601)
    assert due(decided(plus("cat", 1), hours=24))
    assert "due: 1 of 50 new labels" in decided(plus("cat", 1), hours=24).reason
    assert "waited 24.0 of 24 h" in decided(plus("cat", 1), hours=24).reason


def test_what_comes_by_ingest_is_due_at_once():
    assert due(decided(plus("cat", 1), by="ingest"))
    gone = dict(TRAINED)
    del gone["c1"]
    said = {"c1": ("ingest", NOW)}
    assert due(decide_retraining(TRAINED, gone, said, POLICY, NOW.timestamp()))
    assert due(decide_retraining(TRAINED, gone, {}, POLICY, NOW.timestamp()))  # a file that went


def test_a_label_that_changes_or_is_taken_back_is_a_new_one():
    assert "1 of 50" in decided(TRAINED | {"c1": ["dog"]}).reason
    gone = dict(TRAINED)
    del gone["c1"]
    assert "1 of 50" in decided(gone).reason
    flipped = TRAINED | {f"c{n}": ["dog"] for n in range(10)}
    assert "due: 10 of 50 new labels, 10 of dog" in decided(flipped).reason


@given(st.integers(0, 60), st.integers(0, 60))
def test_more_labels_are_never_less_due(count, more):
    first, second = decided(plus("cat", count)), decided(plus("cat", count + more))
    assert due(second) or not due(first)
