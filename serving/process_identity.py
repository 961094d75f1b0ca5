"""Tells a running process from another one that was given the same process id later."""

from pathlib import Path

import psutil

_CLOCK_TOLERANCE_S = 2.0
"""Largest change of a start time (seconds since the epoch) while the process runs."""


def start_mark(pid: int) -> str | None:
    """Return the boot's id and the clock tick of that boot in which a process started.

    Unlike the start time in seconds since the epoch it never changes while the process runs. psutil
    computes the latter from the boot time, which moves whenever the clock is set or corrected by NTP
    (https://psutil.readthedocs.io/en/latest/#psutil.Process.create_time).

    Returns:
        ``BOOT/TICK`` (proc_pid_stat(5), field 22), or ``None`` where the system has no ``/proc``.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None
    # The name of the program, in parentheses, may contain spaces and parentheses.
    return f"{boot}/{status.rpartition(')')[2].split()[19]}"


def is_running(pid: int, created: float, mark: str | None) -> bool:
    """Whether a process runs, and is the one that was noted.

    Args:
        pid: its id.
        created: its noted start time (seconds since the epoch).
        mark: its noted ``start_mark``; ``None`` in notes of older versions and of systems without it.
    """
    try:
        process = psutil.Process(pid)
        same = (
            start_mark(pid) == mark
            if mark is not None
            else abs(process.create_time() - created) < _CLOCK_TOLERANCE_S
        )
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
