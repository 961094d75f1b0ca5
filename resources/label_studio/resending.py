"""Sending items to a server that may accept them although its answer is lost."""

from collections.abc import Callable, Sequence, Sized
from typing import TypeVar

from tenacity import RetryCallState, Retrying, TryAgain, retry_if_result, stop_after_attempt

from resources.label_studio.types import LabelStudioDown

Items = TypeVar("Items", bound=Sized)


def send_until_stored(
    missing: Items,
    send: Callable[[Items], bool],
    find_missing: Callable[[], Items],
    waits: Sequence[float],
) -> Items | None:
    """Send items until the server has them all; send again only those that it lacks.

    Args:
        missing: items that the server lacks.
        send: sends items; returns True if the answer says that the server has them all. The
            answer is not trusted after a failure, since the failed request may still be at work.
        find_missing: looks up which items the server lacks.
        waits: seconds to wait after each failure, before the next look-up; one more request is
            sent than there are waits.

    Returns:
        ``None`` if the server has them all, else the items that are missing although the last
        request was answered.

    Raises:
        LabelStudioDown: the last request failed, or a look-up did (which repeats its own requests).
    """
    left, answers_count = missing, True
    failure: LabelStudioDown | None = None

    def send_missing() -> bool:
        """Make one try; returns whether items are missing afterwards."""
        nonlocal left, answers_count, failure
        if failure is not None:
            left, failure = find_missing(), None
        if not left:
            return False
        try:
            stored = send(left)
        except LabelStudioDown as error:
            failure, answers_count = error, False
            raise TryAgain from error
        if stored and answers_count:
            return False
        left = find_missing()
        return bool(left)

    def wait(state: RetryCallState) -> float:
        """Return the seconds before the next try: none if the server answered."""
        if failure is None or state.attempt_number > len(waits):
            return 0.0
        return waits[state.attempt_number - 1]

    def give_up(_: RetryCallState) -> bool:
        if failure is not None:
            raise failure
        return True

    retrying = Retrying(
        retry=retry_if_result(bool),
        stop=stop_after_attempt(len(waits) + 1),
        wait=wait,
        retry_error_callback=give_up,
    )
    return left if retrying(send_missing) else None
