"""Findings of the doctor: what was checked, its state and, if it is not well, the remedy."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

Health = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        what: name of what was checked.
        health: its state.
        detail: what was found.
        remedy: what to do; empty if nothing.
    """

    what: str
    health: Health
    detail: str
    remedy: str = ""


Look = Callable[[], Iterable[Finding]]
FindingOfError = Callable[[str, Exception], Finding]


@dataclass
class _Looking:
    """A check that runs in a thread of its own."""

    name: str
    look: Look
    finding_of: FindingOfError
    findings: list[Finding] = field(default_factory=list)

    def start(self) -> threading.Thread:
        # A daemon thread, so that a check without an answer does not keep the program from ending.
        thread = threading.Thread(target=self._run, name=f"doctor-{self.name}", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        try:
            for finding in self.look():
                self.findings.append(finding)
        except Exception as error:  # noqa: BLE001 - every error becomes a finding
            self.findings.append(self.finding_of(self.name, error))


def look_at_once(
    looks: Mapping[str, Look], deadline: float, finding_of: FindingOfError
) -> list[Finding]:
    """Run checks in parallel.

    Args:
        looks: checks by name.
        deadline: value of ``time.monotonic()`` until which checks may run; for each that is still
            running then, a finding is added.
        finding_of: makes a finding from the error that a check raised.

    Returns:
        The findings, in the order of ``looks``.
    """
    began = time.monotonic()
    taken = [_Looking(name, look, finding_of) for name, look in looks.items()]
    findings: list[Finding] = []
    for looking, thread in [(looking, looking.start()) for looking in taken]:
        thread.join(max(0.0, deadline - time.monotonic()))
        ended = not thread.is_alive()
        findings += list(looking.findings)
        if not ended:
            waited = f"no full answer within {time.monotonic() - began:.0f} s"
            findings.append(
                Finding(looking.name, "warning", waited, "try again; check network and region")
            )
    return findings


def side_by_side(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int = 3
) -> list[Result]:
    """Call ``function`` with each item, several at a time.

    Args:
        function: called with one item.
        items: the items.
        threads: number of calls at the same time.

    Returns:
        The results, in the order of ``items``.

    Raises:
        Exception: the first error that ``function`` raised; no further call is started.
    """
    # Not a ThreadPoolExecutor: the program would wait for its threads when it ends.
    todo, lock = iter(enumerate(items)), threading.Lock()
    done: dict[int, Result] = {}
    raised: list[Exception] = []

    def work() -> None:
        while not raised:
            with lock:
                taken = next(todo, None)
            if taken is None:
                return
            number, item = taken
            try:
                done[number] = function(item)
            except Exception as error:  # noqa: BLE001 - raised below
                raised.append(error)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if raised:
        raise raised[0]
    return [done[number] for number in sorted(done)]
