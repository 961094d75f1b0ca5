"""Ending process groups for good, also when the one who should have done it is gone.

``python -m imgclf_dagster.processes.process_groups`` is the watchdog: it holds the reading end of a pipe
whose writing end only the supervisor has. The pipe closes when the supervisor dies of anything,
``kill -9`` included; the watchdog then ends every group that is still noted in it.
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
"""A process outside its group (a training job has a session of its own) is asked to end by its
parent; from here on it is asked by us too."""

KILL_AFTER_S = 7.0
"""What is still there then is killed, so that all is over within ten seconds."""


def end_groups(leaders: Iterable[int], *, kill_after_s: float = KILL_AFTER_S) -> list[int]:
    """End the process groups led by ``leaders`` and everything that descends from them.

    SIGTERM to the groups first, SIGKILL at last; returns when nothing is left.

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
    """Send a signal to every process of a group; one that is gone already is fine."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a zombie's group
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
    """The ``processes`` that have not ended by then.

    A zombie has ended: in a container, often nobody is there to collect the orphaned ones.
    """
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
    """The supervisor's side of the pipe."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            start_new_session=True,  # a terminal that closes must not take the watchdog along
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Whoever leaves has ended the groups; a watchdog told to end them again could hit a
        # stranger that got the number since.
        self._process.kill()
        self._process.communicate()

    def note(self, group: int) -> None:
        """From now on the group ends with this process."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """The group has ended; its number may be given to someone else."""
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
