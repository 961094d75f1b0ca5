"""How long a test waits for an event: generously, and longer on a slower or busier machine.

A test waits for what it needs, never for a time. The limits here only end what hangs: then the
failure says what was waited for, and pytest-timeout names the test. They are in one place, and
scale with the speed that is measured once a session.
"""

import json
import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SLOWNESS_VARIABLE = "PYTEST_SLOWNESS"
"""Replaces the measured speed: 1 is the machine of docs/testing.md, 3 one three times slower."""

REFERENCE_S = 0.09
"""What ``_work`` takes on that machine (AMD EPYC 9004, 2.6 GHz) when nothing else runs."""

MOST = 4.0
"""However busy a machine is: with more, CI's own limit would end a hanging session first."""


def _work() -> float:
    """Seconds for a fixed amount of what tests do most: objects, strings, hashing, parsing."""
    began = time.perf_counter()
    for _ in range(40):
        table = {str(number): [number, number / 7] for number in range(1000)}
        json.loads(json.dumps(table))
    return time.perf_counter() - began


def slowness() -> float:
    """How many times slower than the reference this machine is now, from 1 to ``MOST``.

    xdist's workers take over what the controller measured, so that a session has one limit.
    """
    given = os.environ.get(SLOWNESS_VARIABLE)
    if given is None:
        given = str(round(min(_work() for _ in range(3)) / REFERENCE_S, 2))
        os.environ[SLOWNESS_VARIABLE] = given
    return min(MOST, max(1.0, float(given)))


TEST_S = 900 * slowness()
"""Seconds that one test may take, its fixtures included, before pytest-timeout ends it."""

WAIT_S = 600 * slowness()
"""Seconds that a test waits for one event: an answer, a file, the end of a process."""

SOON_S = 30 * slowness()
"""Seconds for what has nothing to wait for. What would hold it up in the test lasts far longer."""

FOREVER_S = 24 * 3600
"""Seconds that a program of a test runs, or a fault lasts, unless it is ended."""


def wait_for(
    condition: Callable[[], T],
    report: Callable[[], object] | str = "",
    *,
    every_s: float | None = None,
) -> T:
    """Wait until a condition holds.

    Args:
        condition: called again and again, until what it returns counts as true.
        report: what to say when it never did; a function is asked then.
        every_s: the pause between two looks. If None, 0.05 s, or for a look that takes long, up to
            0.5 s: asking a server must not slow down what is waited for. Give it where a state
            that passes is waited for.

    Returns:
        What the condition returned.

    Raises:
        AssertionError: it did not within ``WAIT_S``.
    """
    deadline = time.monotonic() + WAIT_S
    begun = time.monotonic()
    while not (found := condition()):
        if time.monotonic() > deadline:
            words = report() if callable(report) else report
            raise AssertionError(f"waited {WAIT_S:.0f} s in vain: {words or condition}")
        time.sleep(pause_s(time.monotonic() - begun) if every_s is None else every_s)
        begun = time.monotonic()
    return found


def pause_s(look_s: float) -> float:
    """Return the pause after a look that took ``look_s`` seconds: looks take a tenth of the time."""
    return min(max(9 * look_s, 0.05), 0.5)
