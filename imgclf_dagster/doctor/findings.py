"""What a doctor says: one thing looked at, how it is and, if it is not well, what to do."""

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
    """One thing looked at."""

    what: str
    health: Health
    detail: str
    remedy: str = ""


Look = Callable[[], Iterable[Finding]]
FindingOfError = Callable[[str, Exception], Finding]


@dataclass
class _Looking:
    """A look that is taken in a thread of its own."""

    name: str
    look: Look
    finding_of: FindingOfError
    findings: list[Finding] = field(default_factory=list)

    def start(self) -> threading.Thread:
        # A daemon, for a look that gets no answer must not keep the program from ending.
        thread = threading.Thread(target=self._run, name=f"doctor-{self.name}", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        try:
            for finding in self.look():
                self.findings.append(finding)
        except Exception as error:  # noqa: BLE001 - a doctor reports whatever it meets
            self.findings.append(self.finding_of(self.name, error))


def look_at_once(
    looks: Mapping[str, Look], deadline: float, finding_of: FindingOfError
) -> list[Finding]:
    """Take all looks at the same time.

    Args:
        looks: by name; their findings come in this order.
        deadline: of ``time.monotonic()``. A look that has not ended by then is left alone, and
            a finding says so.
        finding_of: makes a finding of what a look raises.
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
    """``function`` of each item, a few at a time, in the items' order.

    Not a ThreadPoolExecutor, whose threads the program would wait for at its end.

    Raises:
        Exception: the first one that ``function`` raised; nothing further is begun.
    """
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
