"""Containers as processes: each a group of its own, and none outlives the test bed."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.patience import SOON_S

_GUARD = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
groups = set()
for line in sys.stdin:
    sign, number = line[0], int(line[1:])
    groups.add(number) if sign == "+" else groups.discard(number)
for number in groups:
    try:
        os.killpg(number, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""
"""Kills the groups it was told of when the pipe from process A closes, whatever closed it."""


class Process:
    """A container: its main process and the group of all that it starts."""

    def __init__(
        self,
        popen: "subprocess.Popen[str]",
        sink: Callable[[str], None] | None,
        ended: Callable[[int], None],
    ) -> None:
        self.pid = popen.pid
        self._popen = popen
        self._ended = ended
        self._reader = threading.Thread(target=self._read, args=(sink,), daemon=True)
        self._reader.start()
        self._lock = threading.Lock()
        self._gone = False

    def poll(self) -> int | None:
        """The container's exit code as Docker has it (137: killed), None while it runs."""
        code = self._popen.poll()
        if code is None:
            return None
        self._clean_up()
        return 128 - code if code < 0 else code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; returns the exit code.

        Raises:
            subprocess.TimeoutExpired: it still runs after ``timeout`` seconds.
        """
        self._popen.wait(timeout)
        code = self.poll()
        assert code is not None
        return code

    def terminate(self, grace_s: float) -> int:
        """What ``docker stop`` does: SIGTERM to the main process, after the grace SIGKILL to all."""
        try:
            os.kill(self.pid, signal.SIGTERM)
            return self.wait(grace_s)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            return self.kill()

    def kill(self) -> int:
        """SIGKILL to all of them at once, unless they have ended."""
        if not self._gone:
            _kill_group(self.pid)
        return self.wait()

    def _read(self, sink: Callable[[str], None] | None) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            if sink is not None:
                sink(line.rstrip("\r\n"))

    def _clean_up(self) -> None:
        """A container ends with its main process."""
        with self._lock:
            if self._gone:
                return
            _kill_group(self.pid)
            self._reader.join(timeout=SOON_S)
            self._ended(self.pid)
            self._gone = True


class Processes:
    """All containers of the stand-in."""

    def __init__(self) -> None:
        """Start the guard with the first container only."""
        self._running: dict[int, Process] = {}
        self._lock = threading.Lock()
        self._guard: subprocess.Popen[str] | None = None

    def start(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        sink: Callable[[str], None] | None = None,
    ) -> Process:
        """Start a process whose output, stdout and stderr, goes to ``sink`` line by line.

        Raises:
            OSError: there is no such program.
        """
        with self._lock:
            popen = subprocess.Popen(
                list(command),
                cwd=cwd,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
            self._tell(f"+{popen.pid}")
            process = Process(popen, sink, self._forget)
            self._running[popen.pid] = process
        return process

    def kill_all(self) -> None:
        """Kill every container."""
        for process in list(self._running.values()):
            process.kill()

    def _forget(self, pid: int) -> None:
        with self._lock:
            self._running.pop(pid, None)
            self._tell(f"-{pid}")

    def _tell(self, line: str) -> None:
        if self._guard is None:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _GUARD],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                bufsize=1,
                start_new_session=True,
            )
        assert self._guard.stdin is not None
        self._guard.stdin.write(f"{line}\n")


def _kill_group(number: int) -> None:
    try:
        os.killpg(number, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
