"""Waiting for a state that somebody else brings about."""

import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_not_result, wait_fixed

Seen = TypeVar("Seen")


def poll(
    look: Callable[[], Seen], until: Callable[[Seen], object], *, deadline: float, poll_s: float
) -> Seen:
    """Look, once at least, until what is seen is wanted or the time is over.

    Args:
        look: returns what there is; its exceptions are raised.
        until: whether that is wanted.
        deadline: in seconds of ``time.monotonic()``.
        poll_s: seconds between two looks.

    Returns:
        What was seen last.
    """

    def last(state: RetryCallState) -> Seen:
        assert state.outcome is not None
        seen: Seen = state.outcome.result()
        return seen

    return Retrying(
        retry=retry_if_not_result(lambda seen: bool(until(seen))),
        stop=lambda _: time.monotonic() >= deadline,
        wait=wait_fixed(poll_s),
        retry_error_callback=last,
    )(look)
