"""Programs of an earlier ``imgclf up`` that outlived it and its watchdog."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from serving.process_identity import is_running, start_mark

PROGRAMS = "programs.json"
"""File beside the lock of ``imgclf up`` that lists its running programs."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that was started.

    Attributes:
        name: its name for people.
        pid: id of its process, which leads a process group with the same id.
        created: start time of the process (seconds since the epoch).
        launches_runs: whether it launches Dagster runs.
        mark: the process's ``start_mark``, since pids are reused; ``None`` in files of older versions.
    """

    name: str
    pid: int
    created: float
    launches_runs: bool = False
    mark: str | None = None


class Roster:
    """Keeps a file of the running programs, for the next ``imgclf up``.

    Args:
        run_dir: folder of the lock; only the lock's holder may write here.
    """

    def __init__(self, run_dir: Path) -> None:
        self._file = run_dir / PROGRAMS
        self._programs: dict[int, Program] = {}

    def note(self, name: str, pid: int, *, launches_runs: bool = False) -> None:
        """Add a program that was just started.

        Args:
            name: its name for people.
            pid: id of its process.
            launches_runs: whether it launches Dagster runs.
        """
        try:
            created, mark = psutil.Process(pid).create_time(), start_mark(pid)
        except psutil.NoSuchProcess:  # it has ended already
            return
        self._programs[pid] = Program(name, pid, created, launches_runs, mark)
        self._write()

    def forget(self, pid: int) -> None:
        """Remove a program that has ended."""
        if self._programs.pop(pid, None) is not None:
            self._write()

    def clear(self) -> None:
        """Delete the file: no program runs any more."""
        self._programs.clear()
        self._file.unlink(missing_ok=True)

    def _write(self) -> None:
        part = self._file.with_suffix(".part")
        programs = [asdict(program) for program in self._programs.values()]
        part.write_text(json.dumps(programs), encoding="utf-8")
        part.replace(self._file)


def leftovers(run_dir: Path) -> list[Program]:
    """Return the programs of an earlier ``imgclf up`` that still run.

    Args:
        run_dir: folder of the lock, which the caller holds.

    Returns:
        The programs, those that launch runs first.
    """
    # Two daemons would launch every run twice, so they are ended first.
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
    ):  # damaged by a power cut, which ended all programs as well
        return []


def _runs(program: Program) -> bool:
    """Whether the program, or another process of its session, still runs."""
    if not psutil.pid_exists(program.pid):
        # A pid is not reused while a process group has it, so these processes are its own.
        return any(_session_of(other.pid) == program.pid for other in psutil.process_iter())
    return is_running(program.pid, program.created, program.mark)


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None
