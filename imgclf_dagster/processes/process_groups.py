"""Ending process groups, also when the process that started them was killed.

``python -m imgclf_dagster.processes.process_groups`` is the watchdog. It reads a pipe whose only
writer is the supervisor. The pipe closes when the supervisor ends for any reason, ``kill -9``
included; the watchdog then ends every group still noted.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import psutil

TERM_ALL_AFTER_S = 3.5
"""Time after which descendants outside the groups get SIGTERM from us (seconds); before that it is up
to their parent (a training job has a session of its own)."""

KILL_AFTER_S = 7.0
"""Time after which processes get SIGKILL (seconds), so that all have ended within ten."""


def end_groups(leaders: Iterable[int], *, kill_after_s: float = KILL_AFTER_S) -> list[int]:
    """End process groups and all their descendants: SIGTERM first, SIGKILL at last.

    Args:
        leaders: ids of the processes that lead the groups.
        kill_after_s: time until SIGKILL (seconds).

    Returns:
        Ids of the processes that had to be killed.
    """
    groups = list(leaders)
    family = _family(groups)
    for group in groups:
        signal_group(group, signal.SIGTERM)
    term_all_after_s = min(TERM_ALL_AFTER_S, kill_after_s / 2)
    stubborn = _with_children(_left_after(term_all_after_s, family))
    for process in stubborn:
        _signal(process, signal.SIGTERM)
    stubborn = _with_children(_left_after(kill_after_s - term_all_after_s, stubborn))
    for process in stubborn:
        _signal(process, signal.SIGKILL)
    for group in groups:
        signal_group(group, signal.SIGKILL)
    _left_after(1.0, stubborn)
    return [process.pid for process in stubborn]


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a process group, unless it has ended."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS raises the latter for a zombie's group
        return


def _family(groups: list[int]) -> list[psutil.Process]:
    wanted = set(groups)
    found = {
        process.pid: process for process in psutil.process_iter() if _group_of(process) in wanted
    }
    return _with_children(list(found.values()))


def _with_children(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = {process.pid: process for process in processes}
    for process in processes:
        try:
            found.update({child.pid: child for child in process.children(recursive=True)})
        except psutil.NoSuchProcess:
            continue
    return list(found.values())


def _left_after(seconds: float, processes: list[psutil.Process]) -> list[psutil.Process]:
    """Wait until all processes have ended; return those that have not after some seconds.

    Zombies count as ended.
    """
    # In a container, often no process collects orphaned zombies.
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if not _has_ended(process)]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.05)
    return left


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except (ProcessLookupError, PermissionError):
        return None


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


class Watchdog:
    """The supervisor's side of the watchdog: starts it and writes to its pipe."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            start_new_session=True,  # the watchdog must survive the closing of the terminal
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The groups have been ended already; a watchdog that ends them again could hit another
        # process that got the pid in the meantime.
        self._process.kill()
        self._process.communicate()

    def note(self, group: int) -> None:
        """Have a process group ended when this process ends."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Stop watching a process group that has ended, as its id may be reused."""
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode("ascii"))
        self._process.stdin.flush()


def _watch(lines: Iterable[str]) -> None:
    groups: dict[int, None] = {}
    for line in lines:
        if line.startswith("+"):
            groups[int(line[1:])] = None
        else:
            groups.pop(int(line[1:]), None)
    end_groups(groups)


if __name__ == "__main__":
    _watch(sys.stdin)
