"""Progress messages of a training job."""

import time

from dagster_pipes import PipesContext

_REPORT_SECONDS = 5.0


class Phases:
    """Logs the phases of a job and measures their times.

    Attributes:
        seconds: wall time of each phase that has ended, by ``seconds_<phase>``.
    """

    def __init__(self, pipes: PipesContext) -> None:
        self._pipes = pipes
        self._phase = ""
        self._since = time.monotonic()
        self._said = 0.0
        self.seconds: dict[str, float] = {}

    def begin(self, phase: str, text: str) -> None:
        """End the current phase and begin the next; logs ``text`` unless it is empty."""
        now = time.monotonic()
        if self._phase:
            self.seconds[f"seconds_{self._phase}"] = round(now - self._since, 2)
        self._phase, self._since, self._said = phase, now, now
        if text:
            self.say(text)

    def say(self, text: str) -> None:
        """Write a line to Dagster's log."""
        self._pipes.log.info(text)

    def count(self, what: str, done: int, total: int) -> None:
        """Log the progress of a long phase, at most once in 5 seconds.

        Args:
            what: is counted, such as "train images read".
            done: how many so far.
            total: how many in all.
        """
        now = time.monotonic()
        if now - self._said >= _REPORT_SECONDS:
            self._said = now
            self.say(f"{what}: {done} of {total}")

    def epoch(self, numbers: dict[str, float]) -> None:
        """Log and send the numbers of one epoch (of a probe: of one regularisation strength)."""
        shown = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        self.say(shown)
        self._pipes.report_custom_message({"kind": "progress", **numbers})
