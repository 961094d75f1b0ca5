"""What the supervisor does about one program, and at the end of itself."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imgclf_dagster.processes import supervisor
from imgclf_dagster.processes.leftovers import Roster
from imgclf_dagster.processes.supervisor import STEADY_AFTER_S, Notice, ProcessSpec, _Child

pytestmark = pytest.mark.unit


class Watch:
    """The watchdog, as far as it is told which groups to end."""

    def __init__(self) -> None:
        self.groups: list[int] = []

    def note(self, group: int) -> None:
        self.groups.append(group)

    def forget(self, group: int) -> None:
        self.groups.remove(group)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def child(tmp_path: Path, watch: Watch) -> Callable[[str], _Child]:
    """A program of one line of Python, and nobody told of what it does."""

    def make(program: str) -> _Child:
        spec = ProcessSpec("p", (sys.executable, "-c", program), tmp_path / "p.log")
        messages: list[Notice] = []
        return _Child(spec, watch, Roster(tmp_path), messages.append)

    return make


def test_a_group_that_has_ended_is_taken_off_the_watchdogs_list(
    child: Callable[[str], _Child], watch: Watch
) -> None:
    """Its number may be given to someone else, whom the watchdog would end."""
    one = child("")
    one.step(set())
    assert one.process is not None
    assert watch.groups == [one.process.pid]
    one.process.wait()
    one.step(set())
    assert watch.groups == []
    assert one.process is None


def test_a_program_that_ran_long_has_recovered(
    child: Callable[[str], _Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = child("input()")
    clock = time.monotonic()
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: clock)
    one._failures = 3
    one.process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        one.is_healthy, one._started = True, clock
        one.step(set())
        assert one._failures == 3
        clock += STEADY_AFTER_S + 1
        one.step(set())
        assert one._failures == 0
    finally:
        one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_signals_that_end_it_end_it_in_order(number: signal.Signals) -> None:
    before, stopped = signal.getsignal(number), []
    with supervisor._signals_call(lambda: stopped.append(number)):
        handler = signal.getsignal(number)
        assert handler is not before
        assert callable(handler)
        handler(number, None)
    assert stopped == [number]
    assert signal.getsignal(number) is before


def test_a_log_that_has_grown_too_big_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "MAX_LOG_BYTES", 100)
    log = tmp_path / "p.log"
    log.write_text("x" * 100, encoding="utf-8")
    with supervisor._opened_log(log):
        assert not (tmp_path / "p.log.1").exists()
    with supervisor._opened_log(log):
        pass
    assert (tmp_path / "p.log.1").read_text(encoding="utf-8").startswith("x" * 100)
    assert log.read_text(encoding="utf-8").startswith("--- started")
