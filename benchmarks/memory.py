"""The memory of a program and its child processes, sampled while it runs."""

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.processes import MB, BenchmarkFailed

POLL_S = 0.1
COUNTED = ("Pss_Anon", "Pss_Shmem")
"""Fields of ``smaps_rollup``: a page that several processes share counts once among them. Pages of
files (``Pss_File``) are left out."""


def peaks_of(
    command: list[str], stage: Callable[[], str] = lambda: "", poll_s: float = POLL_S
) -> dict[str, float]:
    """Run a program to its end; return its peak of private and shared memory in MB, by stage.

    Args:
        command: the program and its arguments.
        stage: names what the program does now.
        poll_s: seconds between two samples.

    Raises:
        BenchmarkFailed: it failed.
    """
    peaks: dict[str, float] = {}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = psutil.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            used, now = memory_mb(process), stage()
            peaks[now] = max(used, peaks.get(now, 0.0))
            time.sleep(poll_s)
        output.seek(0)
        last = "\n".join(output.read().splitlines()[-30:])
    if process.returncode:
        raise BenchmarkFailed(f"{' '.join(command)} exited with {process.returncode}:\n{last}")
    return peaks


def memory_mb(process: psutil.Process) -> float:
    """Return the memory of a process and its descendants now, in MB; 0 after their end."""
    total = 0.0
    for member in (process, *_descendants(process)):
        try:
            text = Path(f"/proc/{member.pid}/smaps_rollup").read_text(encoding="ascii")
        except OSError:  # it has ended
            continue
        total += counted_mb(text)
    return total


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def counted_mb(rollup: str) -> float:
    """Return the sum of the counted fields of a file ``smaps_rollup``, in MB."""
    fields = (line.split() for line in rollup.splitlines())
    return sum(int(line[1]) * 1024 / MB for line in fields if line[0].rstrip(":") in COUNTED)
