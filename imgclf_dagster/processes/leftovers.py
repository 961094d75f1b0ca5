"""Programs of an earlier ``imgclf up`` that outlived both it and its watchdog."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

PROGRAMS = "programs.json"
"""Beside the lock of ``imgclf up``: which programs it has started and not yet ended."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that was started.

    Attributes:
        name: what people call it.
        pid: its process, which leads a process group of the same number.
        created: when the process began (seconds since the epoch): numbers are given again.
        launches_runs: whether it starts runs by itself.
    """

    name: str
    pid: int
    created: float
    launches_runs: bool = False


class Roster:
    """Writes down which programs run, so that the next ``imgclf up`` can find them.

    Args:
        run_dir: the folder of the lock; only its holder may write here.
    """

    def __init__(self, run_dir: Path) -> None:
        self._file = run_dir / PROGRAMS
        self._programs: dict[int, Program] = {}

    def note(self, name: str, pid: int, *, launches_runs: bool = False) -> None:
        """Add a program that was just started."""
        try:
            created = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:  # it has ended already
            return
        self._programs[pid] = Program(name, pid, created, launches_runs)
        self._write()

    def forget(self, pid: int) -> None:
        """Take a program off that has ended."""
        if self._programs.pop(pid, None) is not None:
            self._write()

    def clear(self) -> None:
        """Say that nothing runs any more."""
        self._programs.clear()
        self._file.unlink(missing_ok=True)

    def _write(self) -> None:
        part = self._file.with_suffix(".part")
        programs = [asdict(program) for program in self._programs.values()]
        part.write_text(json.dumps(programs), encoding="utf-8")
        part.replace(self._file)


def leftovers(run_dir: Path) -> list[Program]:
    """List the programs of an earlier ``imgclf up`` that still run.

    Args:
        run_dir: the folder of the lock, which the caller holds.

    Returns:
        Those that launch runs first: two of them would launch everything twice.
    """
    left = [program for program in _noted(run_dir / PROGRAMS) if _runs(program)]
    return sorted(left, key=lambda program: not program.launches_runs)


def _noted(file: Path) -> Sequence[Program]:
    try:
        return [Program(**program) for program in json.loads(file.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (
        ValueError,
        TypeError,
        RecursionError,
    ):  # cut short by a power cut, which ended all programs, too
        return []


def _runs(program: Program) -> bool:
    """Whether the program or something that it started in its group still runs."""
    try:
        process = psutil.Process(program.pid)
        began = process.create_time()
    except psutil.NoSuchProcess:
        # A number is not given again while a group has it, so these are its own.
        return any(_session_of(other.pid) == program.pid for other in psutil.process_iter())
    # create_time is rounded to the clock's ticks, and shifts by that when the clock is set.
    same = abs(began - program.created) < 1.0
    return same and process.status() != psutil.STATUS_ZOMBIE


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None
