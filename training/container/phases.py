"""Progress messages of a training job."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dagster_pipes import PipesContext

from training.container.container import JobContainer
from training.container.progress_file import PROGRESS, ProgressFile

_SAY_SECONDS, _SAY_SHARE = 5.0, 0.02
"""Least time between two lines of progress: 5 s, and 2 % of the job's time so far. So a job of any
length writes some hundred lines at most."""

_FIRST_EPOCHS = 20
"""Epochs that have a line each, however short they are."""

_TIMES = "epoch_times.txt"


OnEpoch = Callable[[int, dict[str, float], float], object]


class Phases:
    """Logs the phases of a job and measures their times.

    Attributes:
        seconds: wall time of each phase that has ended, by ``seconds_<phase>``.
    """

    def __init__(
        self,
        pipes: PipesContext,
        container: JobContainer | None = None,
        also: OnEpoch = lambda step, numbers, at: None,
    ) -> None:
        """Begin without a phase.

        Args:
            pipes: for messages.
            container: of the job, for the progress file, the times of epochs and SageMaker's
                metrics; ``None`` in all processes of a job but the first: nothing is written.
            also: called with number, numbers and time of each epoch (seconds since 1970).
        """
        self._pipes = pipes
        self._leads = container is not None
        self._also = also
        root = container.root if container else None
        self._file = ProgressFile(root / PROGRESS if root else None, pipes.log.warning)
        self._times = _EpochTimes(container.checkpoint_dir / _TIMES if container else None)
        self._phase = ""
        self._since = self._began = time.monotonic()
        self._said: dict[str, float] = {}
        self._counted: tuple[str, float, int] | None = None
        self._left = ""
        self._epochs = 0
        self.seconds: dict[str, float] = {}

    def begin(self, phase: str, text: str) -> None:
        """End the current phase and begin the next; logs ``text`` unless it is empty."""
        now = time.monotonic()
        if self._phase:
            self.seconds[f"seconds_{self._phase}"] = round(now - self._since, 2)
        self._phase, self._since = phase, now
        self._said = {"count": now}
        self._counted, self._left = None, ""
        nothing = dict.fromkeys(("what", "done", "total", "left_s"))
        self._file.update(at_once=True, phase=phase, text=text or phase, **nothing)
        if text:
            self.say(text)

    def say(self, text: str) -> None:
        """Write a line to Dagster's log."""
        self._pipes.log.info(text)

    def warn(self, text: str) -> None:
        """Write a warning to Dagster's log."""
        self._pipes.log.warning(text)

    def count(self, what: str, done: int, total: int) -> None:
        """Tell the progress of a long phase, with the remaining time; logs a line now and then.

        Args:
            what: is counted, such as "train images read".
            done: how many so far.
            total: how many in all.
        """
        left_s = self._remaining(what, done, total)
        self._file.update(what=what, done=done, total=total, left_s=left_s)
        if self._is_due("count"):
            self.say(f"{what}: {done} of {total}{self._left}")

    def epoch(self, numbers: dict[str, float]) -> None:
        """Tell and send the numbers of one epoch (of a probe: of one regularisation strength)."""
        self._epochs += 1
        step = int(numbers.get("epoch", self._epochs))
        self._times.note(step)
        self._file.update(at_once=True, numbers=numbers)
        if step <= _FIRST_EPOCHS or self._is_due("epoch"):
            shown = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
            self.say(f"{shown}{self._left}")
        self._also(step, numbers, self._times.known[step])
        if self._leads:
            # SageMaker finds these by regular expressions (resources.compute.sagemaker.requests).
            print(" ".join(f"{name}={value:.6g};" for name, value in numbers.items()), flush=True)
        self._pipes.report_custom_message({"kind": "progress", **numbers})

    def epoch_times(self, epochs: int) -> list[float | None]:
        """Return when each epoch ended, in seconds since 1970; ``None``: unknown.

        Args:
            epochs: how many there are, those before a restart included.
        """
        return [self._times.known.get(step) for step in range(1, epochs + 1)]

    def _is_due(self, kind: str) -> bool:
        """Whether a line of this kind may be logged now, which then counts as logged."""
        now = time.monotonic()
        pause = max(_SAY_SECONDS, _SAY_SHARE * (now - self._began))
        if kind in self._said and now - self._said[kind] < pause:
            return False
        self._said[kind] = now
        return True

    def _remaining(self, what: str, done: int, total: int) -> float | None:
        """Estimate the seconds until ``total`` by the speed since the first count."""
        now = time.monotonic()
        if self._counted is None or self._counted[0] != what:
            self._counted = what, now, done
        _, since, before = self._counted
        if done <= before:
            return None
        left_s = (now - since) / (done - before) * (total - done)
        self._left = f" (about {duration(left_s)} left)" if done < total else ""
        return round(left_s, 1)


class _EpochTimes:
    """When each epoch ended, in a file that survives a restart of the job."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.known = _read_times(path) if path and path.exists() else {}

    def note(self, step: int) -> None:
        """Keep the present time for an epoch, counted from 1."""
        self.known[step] = round(time.time(), 3)
        if self._path is not None:
            # One line is added, as a job may have thousands of epochs.
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{step} {self.known[step]}\n")


def _read_times(path: Path) -> dict[int, float]:
    """Read the times; an epoch that was done again has its last time, a damaged line none."""
    known = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            step, at = line.split(" ")
            known[int(step)] = float(at)
    return known


def duration(seconds: float) -> str:
    """Write a duration for people: "8 s", "3 min", "2 h 5 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
