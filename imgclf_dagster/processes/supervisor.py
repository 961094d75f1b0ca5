"""Runs several programs together: starts, health-checks, restarts and stops them."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Literal

from filelock import FileLock, Timeout

from errors.base import ImgclfError
from imgclf_dagster.processes.leftovers import Roster, leftovers
from imgclf_dagster.processes.loopback import send
from imgclf_dagster.processes.ports import Port, PortTaken, require_free
from imgclf_dagster.processes.presence import UP_LOCK
from imgclf_dagster.processes.process_groups import Watchdog, end_groups, signal_group

FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 30.0
STEADY_AFTER_S = 60.0
"""Running time after which a program counts as recovered, and its backoff starts again (seconds)."""

MAX_LOG_BYTES = 10_000_000
_STEP_S = 0.1
_LOCK_S = 1.0  # `is_up` holds the lock for a moment


class AlreadyRunning(ImgclfError, RuntimeError):
    """Another supervisor runs in the same home; nothing was started."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A program to run.

    Attributes:
        name: its name for people.
        argv: the command.
        log_file: receives its stdout and stderr.
        env: variables added to the environment.
        port: the port that it binds.
        healthy: health check, called until it returns True; must return within about a second.
            Without one, a running program is healthy.
        health_timeout_s: time to become healthy, after which it is restarted (seconds).
        after: names of programs that must be healthy before it is started.
        url: address for people.
        about: what is at the address.
        launches_runs: whether it launches Dagster runs; a leftover one is then ended first.
    """

    name: str
    argv: tuple[str, ...]
    log_file: Path
    env: Mapping[str, str] = field(default_factory=dict)
    port: Port | None = None
    healthy: Callable[[], bool] | None = None
    health_timeout_s: float = 180.0
    after: tuple[str, ...] = ()
    url: str | None = None
    about: str = ""
    launches_runs: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """A message on a program.

    Attributes:
        kind: "healthy" once it is, "trouble" if it failed.
        spec: the program.
        text: the message.
    """

    kind: Literal["healthy", "trouble"]
    spec: ProcessSpec
    text: str


def http_healthy(url: str) -> Callable[[], bool]:
    """Return a health check: GET ``url`` answers with a status below 400."""

    def check() -> bool:
        import httpx

        try:
            return send("GET", url, timeout_s=1.0).status_code < 400
        except httpx.TransportError:
            return False

    return check


def socket_healthy(path: Path) -> Callable[[], bool]:
    """Return a health check: the Unix socket at ``path`` accepts connections."""

    def check() -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(str(path)) == 0

    return check


def backoff_s(failures: int) -> float:
    """Return the pause before the next start (seconds) after ``failures`` failures in a row."""
    doublings = min(max(0, failures - 1), 10)
    return min(FIRST_BACKOFF_S * 2**doublings, MAX_BACKOFF_S)


class _Child:
    """A program and its state. ``process`` is ``None`` until it is started."""

    def __init__(
        self,
        spec: ProcessSpec,
        watchdog: Watchdog,
        roster: Roster,
        say: Callable[[Notice], None],
    ) -> None:
        self.spec = spec
        self._roster = roster
        self.is_healthy = False
        self.process: subprocess.Popen[bytes] | None = None
        self._watchdog = watchdog
        self._say = say
        self._failures = 0
        self._start_at = 0.0
        self._started = 0.0

    def step(self, healthy: set[str]) -> None:
        """Check the program and start, restart or report it if that is due. Never waits for long."""
        now = time.monotonic()
        if self.process is None:
            if now >= self._start_at and healthy.issuperset(self.spec.after):
                self._start()
        elif (code := self.process.poll()) is not None:
            self._failed(f"{_ending(code)}{_last_line(self.spec.log_file)}")
        elif self.is_healthy:
            if now - self._started > STEADY_AFTER_S:
                self._failures = 0
        elif self.spec.healthy is None or self.spec.healthy():
            self.is_healthy = True
            self._say(Notice("healthy", self.spec, f"ready after {now - self._started:.1f} s"))
        elif now - self._started > self.spec.health_timeout_s:
            self._failed(f"did not answer within {self.spec.health_timeout_s:.0f} s")

    def _start(self) -> None:
        try:
            require_free(_ports([self.spec]))
        except PortTaken as error:
            self._failed(str(error))
            return
        self._started = time.monotonic()
        with _opened_log(self.spec.log_file) as log:
            self.process = subprocess.Popen(
                self.spec.argv,
                env={**os.environ, **self.spec.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._watchdog.note(self.process.pid)
        self._roster.note(self.spec.name, self.process.pid, launches_runs=self.spec.launches_runs)

    def _failed(self, why: str) -> None:
        self._failures += 1
        wait_s = backoff_s(self._failures)
        self._start_at = time.monotonic() + wait_s
        self.is_healthy = False
        self._say(
            Notice(
                "trouble",
                self.spec,
                f"{why}; starting it again in {wait_s:.0f} s (log: {self.spec.log_file})",
            )
        )
        if self.process is not None:
            # Its child processes must not outlive it, or hold its port.
            signal_group(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self._watchdog.forget(self.process.pid)
            self._roster.forget(self.process.pid)
            self.process = None


class Supervisor:
    """Keeps programs running until it is stopped. One thread does all steps, so no lock is needed.

    Args:
        specs: the programs.
        run_dir: folder of the lock and of ``up.json`` (pid); one supervisor per folder.
        say: receives the notices, in order.
        meanwhile: context entered after the lock is taken and before programs start.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        run_dir: Path,
        say: Callable[[Notice], None],
        meanwhile: AbstractContextManager[object] | None = None,
    ) -> None:
        self._specs = tuple(specs)
        self._run_dir = run_dir
        self._say = say
        self._meanwhile = meanwhile or nullcontext()
        self._stop = threading.Event()

    def run(self) -> None:
        """Run the programs until SIGINT, SIGTERM, SIGHUP or ``stop()``; then end them and return.

        Raises:
            AlreadyRunning: another supervisor runs here; nothing was started.
            PortTaken: a port is in use; nothing was started.
        """
        with ExitStack() as stack:
            stack.enter_context(single_instance(self._run_dir))
            self._end_leftovers()
            require_free(_ports(self._specs))
            stack.enter_context(self._meanwhile)
            stack.enter_context(_signals_call(self.stop))
            watchdog = stack.enter_context(Watchdog())
            roster = Roster(self._run_dir)
            children = [_Child(spec, watchdog, roster, self._say) for spec in self._specs]
            try:
                self._keep(children)
            finally:
                end_groups([child.process.pid for child in children if child.process is not None])
                roster.clear()

    def stop(self) -> None:
        """End ``run``. Safe to call from a signal handler or another thread."""
        self._stop.set()

    def _end_leftovers(self) -> None:
        """End the programs that an earlier supervisor of this home has left, and report them."""
        # Some are left if the watchdog was killed together with the supervisor. Two daemons would
        # launch every run twice.
        left = leftovers(self._run_dir)
        for program in left:
            spec = ProcessSpec(name=program.name, argv=(), log_file=self._run_dir / "unknown")
            text = f"process {program.pid} is left of an earlier imgclf up; ending it"
            self._say(Notice("trouble", spec, text))
        # Those that launch runs first, while what they depend on still runs.
        for launches_runs in (True, False):
            end_groups([one.pid for one in left if one.launches_runs is launches_runs])

    def _keep(self, children: list[_Child]) -> None:
        while not self._stop.wait(_STEP_S):
            for child in children:
                child.step({other.spec.name for other in children if other.is_healthy})
                if self._stop.is_set():
                    return


def _noted_pid(note: Path) -> str:
    """Return the pid in ``up.json`` as text; "unknown" if the file is damaged."""
    try:
        return str(json.loads(note.read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "unknown"


@contextmanager
def single_instance(run_dir: Path) -> Iterator[None]:
    """Hold the home's lock for this process while the block lasts.

    Raises:
        AlreadyRunning: another process holds it; the message names it.
    """
    note = run_dir / "up.json"
    lock = FileLock(run_dir / UP_LOCK)
    try:
        lock.acquire(timeout=_LOCK_S)
    except Timeout:
        raise AlreadyRunning(
            f"imgclf up is running already on {run_dir.parent} (process {_noted_pid(note)})",
            "end it (Ctrl-C in its terminal), or name another home in IMGCLF_HOME",
        ) from None
    try:
        part = note.with_suffix(".part")
        part.write_text(json.dumps({"pid": os.getpid()}), encoding="utf-8")
        part.replace(note)
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _ports(specs: Sequence[ProcessSpec]) -> list[Port]:
    return [spec.port for spec in specs if spec.port is not None]


@contextmanager
def _signals_call(stop: Callable[[], None]) -> Iterator[None]:
    def handler(number: int, frame: FrameType | None) -> None:
        stop()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def _opened_log(path: Path) -> Iterator[int]:
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    with path.open("ab") as log:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        log.write(f"--- started {stamp} ---\n".encode())
        log.flush()
        yield log.fileno()


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"


def _last_line(log_file: Path) -> str:
    with log_file.open("rb") as log:
        log.seek(max(0, log_file.stat().st_size - 4096))
        lines = log.read().decode("utf-8", "replace").splitlines()
    words = [line.strip() for line in lines if line.strip() and not line.startswith("--- ")]
    return f": {words[-1][:200]}" if words else ""
