"""Waiting for a state: looked at once at least, and never longer than told."""

import time
from collections.abc import Iterator

import pytest

from resources.waiting import poll
from tests.patience import WAIT_S

pytestmark = pytest.mark.unit


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were slept; time passes only by them."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: 100 + sum(slept))
    return slept


def seen(*values: str) -> Iterator[str]:
    yield from values
    raise AssertionError("looked once more")


def test_it_ends_with_what_is_wanted(clock: list[float]) -> None:
    states = seen("Creating", "Updating", "InService")
    found = poll(lambda: next(states), lambda state: state == "InService", deadline=200, poll_s=5)
    assert found == "InService"
    assert clock == [5, 5]


def test_after_the_time_it_returns_what_was_seen_last(clock: list[float]) -> None:
    states = seen("a", "b", "c")
    assert poll(lambda: next(states), lambda state: False, deadline=110, poll_s=5) == "c"
    assert sum(clock) == 10


def test_it_looks_once_though_the_time_is_over(clock: list[float]) -> None:
    states = seen("a")
    assert poll(lambda: next(states), lambda state: False, deadline=1, poll_s=5) == "a"
    assert clock == []


def test_an_error_of_the_look_is_raised_at_once(clock: list[float]) -> None:
    def look() -> str:
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        poll(look, bool, deadline=200, poll_s=5)
    assert clock == []


def test_an_interrupt_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        poll(lambda: 0, bool, deadline=time.monotonic() + WAIT_S, poll_s=5)
