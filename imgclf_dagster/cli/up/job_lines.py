"""Lines on the running jobs that ``imgclf up`` prints."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from resources.compute.local.progress import JobProgress, jobs_progress

_LOOK_S = 2.0
_PAUSE_S, _PAUSE_SHARE = 10.0, 0.1
"""Least time between two lines on a job: 10 s, and 10 % of the time that it was seen to run."""


class JobLines:
    """Prints what each job does, now and then, in a thread while the block lasts.

    Args:
        jobs_dir: folder of the jobs.
        tell: called with a job's name and what it does.
    """

    def __init__(self, jobs_dir: Path, tell: Callable[[str, str], object]) -> None:
        self._jobs_dir, self._tell = jobs_dir, tell
        self._seen: dict[str, _Seen] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="job-lines", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the thread."""
        self._done.set()
        self._thread.join()

    def look(self, now: float) -> None:
        """Look at the jobs once and print what is due.

        Args:
            now: seconds of a monotonic clock.
        """
        running = {found.job: found for found in jobs_progress(self._jobs_dir) if found.is_alive}
        self._seen = {job: seen for job, seen in self._seen.items() if job in running}
        for job, found in running.items():
            seen = self._seen.setdefault(job, _Seen(now))
            if seen.is_news(found, now):
                self._tell(job, found.words)

    def _run(self) -> None:
        while not self._done.wait(_LOOK_S):
            self.look(time.monotonic())


class _Seen:
    """A job that runs: since when it was seen, and what was printed of it."""

    def __init__(self, since: float) -> None:
        self._since, self._told_at, self._told = since, float("-inf"), ""

    def is_news(self, found: JobProgress, now: float) -> bool:
        """Whether a line on the job is due, which then counts as printed."""
        pause = max(_PAUSE_S, _PAUSE_SHARE * (now - self._since))
        if now - self._told_at < pause or found.words == self._told:
            return False
        self._told_at, self._told = now, found.words
        return True
