"""Measure time and memory, and run fresh processes."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

MB = 1e6


class BenchmarkFailed(RuntimeError):
    """A measured program failed; the message contains its last output."""


def cpu_seconds(who: int = resource.RUSAGE_SELF) -> float:
    """CPU seconds (user and system, all threads) of this process or, with RUSAGE_CHILDREN, of its
    ended child processes."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def resident_mb() -> float:
    """Resident memory of this process now, in MB."""
    return _status_mb("VmRSS")


def reset_peak() -> None:
    """Reset what :func:`peak_mb` measures (``man 5 proc``, clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mb() -> float:
    """Peak resident memory of this process since :func:`reset_peak`, in MB."""
    return _status_mb("VmHWM")


def _status_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return int(kilobytes) * 1024 / MB


def python_json(module: str, *arguments: str) -> Any:
    """Run ``python -m module arguments…`` in a fresh process; parse the last line it prints.

    Raises:
        BenchmarkFailed: it failed.
    """
    output = run([sys.executable, "-m", module, *arguments])
    return json.loads(output.splitlines()[-1])


def run(command: list[str]) -> str:
    """Run a program to its end; return its output.

    Raises:
        BenchmarkFailed: it failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise BenchmarkFailed(f"{Path(command[0]).name} exited with {done.returncode}:\n{last}")
    return done.stdout


def run_watched(command: list[str], poll_s: float = 0.1) -> dict[str, float]:
    """Run a program to its end; return the CPU seconds of each process of its tree, by command
    line.

    Processes are polled: what one uses after the last poll is not counted.

    Raises:
        BenchmarkFailed: it failed.
    """
    spent: dict[tuple[int, str], float] = {}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = psutil.Popen(command, stdout=output, stderr=output)
        while process.poll() is None:
            for member in (process, *process.children(recursive=True)):
                try:
                    times = member.cpu_times()
                    spent[member.pid, " ".join(member.cmdline())] = times.user + times.system
                except psutil.NoSuchProcess:
                    continue
            time.sleep(poll_s)
        output.seek(0)
        last = "\n".join(output.read().splitlines()[-30:])
    if process.returncode:
        raise BenchmarkFailed(f"{Path(command[0]).name} exited with {process.returncode}:\n{last}")
    totals: dict[str, float] = {}
    for (_, line), seconds in spent.items():
        totals[line] = totals.get(line, 0.0) + seconds
    return totals
