"""Whether a training from scratch ended while its validation loss was still falling."""

import json

import pytest

from assets.model.trained_model import _epochs_too_few, still_falling
from training.config import Hyperparameters

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([2.0 - 0.1 * epoch for epoch in range(12)], True),
        ([2.0, 1.0, 0.6, 0.5, *([0.4] * 8)], False),
        ([2.0, 1.0, 0.6, 0.5, 0.4, 0.4, 0.399, 0.398], False),  # noise
        ([0.5, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], False),
        ([2.0, 1.0], False),  # too few to tell
        ([], False),
    ],
)
def test_the_last_quarter_is_compared_with_the_one_before(
    losses: list[float], expected: bool
) -> None:
    assert still_falling(losses) is expected


def test_only_a_net_from_scratch_is_short_of_epochs() -> None:
    falling = json.dumps([{"epoch": at, "val_loss": 2.0 - 0.1 * at} for at in range(12)]).encode()
    scratch = Hyperparameters(recipe="scratch")
    assert _epochs_too_few(scratch, {"history.json": falling}) == 12
    assert _epochs_too_few(Hyperparameters(recipe="probe"), {"history.json": falling}) is None
    for damaged in (b"", b"{}", b"[1]", b"[{}]"):
        assert _epochs_too_few(scratch, {"history.json": damaged}) is None
    assert _epochs_too_few(scratch, {}) is None
