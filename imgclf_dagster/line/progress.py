"""Report the progress of a run while it executes."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import dagster as dg
from dagster import DagsterEventType
from dagster_shared.error import SerializableErrorInfo
from rich.console import Console
from rich.status import Status

from assets.release.verdicts import ADVISORY_CHECKS, blocking_check_names
from imgclf_dagster.checks.result import WARNING
from imgclf_dagster.console import escape

if TYPE_CHECKING:
    from imgclf_dagster.line.outcome import RunOutcome

POLL_S = 0.25
LOOK_S = 1.0
"""Seconds between two looks at the jobs of this machine."""

INFO = 20

_WRAPPERS = {"DagsterExecutionStepExecutionError", "DagsterResourceFunctionError"}
"""Errors in which Dagster wraps the error of an asset or resource."""

_INTERRUPTS = {"DagsterExecutionInterruptedError", "KeyboardInterrupt"}
"""Errors that Dagster records for Ctrl-C."""

OF_DAGSTER = (
    "Dependencies for step ",  # one for each step that it skips after a failed one
    "[pipes] external process successfully opened",  # one for each job
)
"""Beginnings of Dagster's own messages that tell a person nothing."""

_RETRIED_TAG = "dagster/will_retry"

_OUR_PACKAGES = ("assets.", "imgclf_dagster.", "labelling.", "resources.", "serving.", "training.")
"""Packages whose error messages are written for users."""


class Narrator(Protocol):
    """Receives the events of a run."""

    def started(self, step: str) -> None:
        """A step started."""

    def logged(self, step: str, message: str, *, level: int) -> None:
        """A step logged a message.

        Args:
            step: step key.
            message: the text.
            level: Python log level.
        """

    def finished(self, step: str, seconds: float) -> None:
        """A step succeeded after ``seconds``."""

    def checked(self, check: str, *, passed: bool, blocking: bool, reason: str) -> None:
        """A check was evaluated.

        Args:
            check: name of the check.
            passed: whether it passed without a warning.
            blocking: whether it failed with severity ERROR.
            reason: its reason as text.
        """

    def failed(self, step: str, reason: str) -> None:
        """A step failed for ``reason``."""

    def working(self, text: str) -> None:
        """The running jobs do what ``text`` says now; "" if none runs."""


class ConsoleNarrator:
    """Prints a line for each event. Steps of checks show their result only."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def started(self, step: str) -> None:
        """Print that a step started."""
        if not is_check_step(step):
            self._console.print(f"[cyan]▸[/] {escape(step)}")

    def logged(self, step: str, message: str, *, level: int) -> None:
        """Print a step's message.

        Args:
            step: step key.
            message: the text.
            level: Python log level; above INFO it is highlighted.
        """
        style = "yellow" if level > INFO else "dim"
        self._console.print(f"  [{style}]{escape(message)}[/]", highlight=False)

    def finished(self, step: str, seconds: float) -> None:
        """Print that a step succeeded, with its duration in seconds."""
        if not is_check_step(step):
            self._console.print(f"[green]✓[/] {escape(step)}  [dim]{seconds:.1f} s[/]")

    def checked(self, check: str, *, passed: bool, blocking: bool, reason: str) -> None:
        """Print a check's result.

        Args:
            check: name of the check.
            passed: whether it passed without a warning.
            blocking: whether it failed with severity ERROR.
            reason: its reason as text.
        """
        mark = "[green]✓[/]" if passed else "[red]✗[/]" if blocking else "[yellow]![/]"
        self._console.print(f"  {mark} {escape(check)}  [dim]{escape(reason)}[/]", highlight=False)

    def failed(self, step: str, reason: str) -> None:
        """Print that a step failed, with the reason."""
        if not is_check_step(step):
            self._console.print(f"[red]✗ {escape(step)}[/]\n  {escape(reason)}", highlight=False)

    def working(self, text: str) -> None:
        """Show what the running jobs do in the last line of a terminal, and elsewhere nothing."""
        if not self._console.is_terminal:  # a file has the lines that the jobs log
            return
        if self._status is None and text:
            self._status = self._console.status(escape(text), refresh_per_second=2)
            self._status.start()
        elif self._status is not None and text:
            self._status.update(escape(text))
        elif self._status is not None:
            self._status.stop()
            self._status = None


def is_check_step(step: str) -> bool:
    """Whether a step key is that of a check."""
    # Dagster names a check's step <asset>_<check>; no asset's name ends with a check's name.
    return step.endswith((*blocking_check_names(), *ADVISORY_CHECKS))


@contextmanager
def narrated(
    instance: dg.DagsterInstance,
    outcome: "RunOutcome",
    narrator: Narrator,
    look: Callable[[], str] = lambda: "",
) -> Iterator[None]:
    """Follow a run while the block executes it.

    An error in following is raised after the block, unless the block raises one itself.

    Args:
        instance: Dagster's instance.
        outcome: its ``run_id`` names the run; the other fields except ``success`` are filled in.
        narrator: receives the run's events.
        look: says what the running jobs do; "" if none runs.
    """
    done = threading.Event()
    with ThreadPoolExecutor(2, thread_name_prefix="narrator") as pool:
        follower = pool.submit(_follow_events, instance, outcome, narrator, done)
        looker = pool.submit(_look_at_jobs, narrator, look, done)
        try:
            yield
        finally:
            done.set()
        follower.result()
        looker.result()


def _look_at_jobs(narrator: Narrator, look: Callable[[], str], done: threading.Event) -> None:
    try:
        while not done.wait(LOOK_S):
            narrator.working(look())
    finally:
        narrator.working("")


def _follow_events(
    instance: dg.DagsterInstance, outcome: "RunOutcome", narrator: Narrator, done: threading.Event
) -> None:
    cursor: str | None = None
    while True:
        last = done.is_set()
        page = instance.get_records_for_run(outcome.run_id, cursor=cursor, limit=500)
        for record in page.records:
            _report_event(record.event_log_entry, outcome, narrator)
        cursor = page.cursor
        if last and not page.has_more:
            return
        if not page.has_more:
            done.wait(POLL_S)


def _report_event(entry: dg.EventLogEntry, outcome: "RunOutcome", narrator: Narrator) -> None:
    step = entry.step_key or ""
    event = entry.dagster_event
    if event is None:
        level = int(entry.level)
        if level >= INFO and step and not entry.user_message.startswith(OF_DAGSTER):
            narrator.logged(step, entry.user_message, level=level)
        return
    match event.event_type:
        case DagsterEventType.STEP_START | DagsterEventType.STEP_RESTARTED:
            narrator.started(step)
        case DagsterEventType.STEP_SUCCESS:
            seconds = (event.step_success_data.duration_ms or 0) / 1000
            outcome.seconds[step] = seconds
            narrator.finished(step, seconds)
        case DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            why = _check_reason(check)
            narrator.checked(
                check.check_name,
                passed=check.passed and WARNING not in check.metadata,
                blocking=not check.passed and check.severity is dg.AssetCheckSeverity.ERROR,
                reason=why,
            )
            if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR:
                outcome.failures[check.check_name] = why
        case DagsterEventType.STEP_FAILURE:
            reason = _failure_reason(event)
            outcome.interrupted |= _is_interrupt(event.step_failure_data.error)
            if not is_check_step(step) or not outcome.failures:
                outcome.failures[step] = reason.partition("\n\n")[0]  # what follows is detail
            narrator.failed(step, reason)
        case DagsterEventType.RUN_FAILURE:
            outcome.interrupted |= _is_interrupt(event.job_failure_data.error)
        case DagsterEventType.RUN_CANCELED:
            outcome.interrupted = True
        case _:
            pass


def _check_reason(check: dg.AssetCheckEvaluation) -> str:
    """Return the check's reason as plain text; its description is Markdown."""
    reason = check.metadata.get("reason")
    return str(reason.value) if reason is not None else check.description or ""


def _failure_reason(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    if _is_interrupt(error):
        return "interrupted"
    while error is not None and error.cause is not None and error.cls_name in _WRAPPERS:
        error = error.cause
    if error is None:
        return "unknown error"
    message = error.message.strip()
    if message.startswith(_OUR_PACKAGES):  # the message has the reason and the remedy
        message = message.partition(": ")[2]
    return message


def failed_steps(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    """Return the reasons of a run's failed steps by step key, in the order of failing."""
    page = instance.get_records_for_run(run_id, of_type=DagsterEventType.STEP_FAILURE)
    events = [record.event_log_entry.dagster_event for record in page.records]
    return {event.step_key or "": _failure_reason(event) for event in events if event is not None}


def _is_interrupt(error: SerializableErrorInfo | None) -> bool:
    """Whether Ctrl-C caused the error."""
    while error is not None:
        if error.cls_name in _INTERRUPTS:
            return True
        error = error.cause
    return False


def failure_since(
    instance: dg.DagsterInstance, since: datetime, assets: Sequence[str]
) -> str | None:
    """Return why the newest failed run of some assets failed; ``None`` if none failed.

    Runs that Dagster retries, or has not decided yet to retry, do not count.

    Args:
        instance: Dagster's instance.
        since: only runs created after this moment count.
        assets: names of the assets.
    """
    # Dagster sets the tag a moment after it records the failure.
    undecided = {"true"} | ({None} if instance.run_retries_enabled else set())
    keys = {dg.AssetKey(asset) for asset in assets}
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], created_after=since)
    for run in instance.get_runs(filters, limit=10):
        if run.tags.get(_RETRIED_TAG) in undecided or not keys & (run.asset_selection or set()):
            continue
        reasons = failed_steps(instance, run.run_id).values()
        return "\n".join(reasons) or f"run {run.run_id} failed before its first step"
    return None
