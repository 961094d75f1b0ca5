"""What a training job says of itself while it runs."""

import time

from dagster_pipes import PipesContext

_REPORT_SECONDS = 5.0


class Phases:
    """Says what happens now, and remembers how long each phase took."""

    def __init__(self, pipes: PipesContext) -> None:
        self._pipes = pipes
        self._phase = ""
        self._since = time.monotonic()
        self._said = 0.0
        self.seconds: dict[str, float] = {}

    def begin(self, phase: str, text: str) -> None:
        """Close the phase before and announce the next."""
        now = time.monotonic()
        if self._phase:
            self.seconds[f"seconds_{self._phase}"] = round(now - self._since, 2)
        self._phase, self._since, self._said = phase, now, now
        if text:
            self.say(text)

    def say(self, text: str) -> None:
        """One line for Dagster's log."""
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
        """One epoch's numbers (or one strength's, of a probe): logged, and sent as a message."""
        shown = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        self.say(shown)
        self._pipes.report_custom_message({"kind": "progress", **numbers})
