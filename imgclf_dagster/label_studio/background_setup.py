"""Setup of Label Studio while ``imgclf up`` runs, repeated when labels or the served model change.

Each setup runs in a process of its own: the client of Label Studio takes 220 MB, which the
supervisor would keep until it ends.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from imgclf_dagster.label_studio.access import published_address
from imgclf_dagster.processes.process_groups import end_groups
from imgclf_dagster.processes.supervisor import Notice
from imgclf_dagster.settings.root import Settings

if TYPE_CHECKING:
    from imgclf_dagster.label_studio.setup import Wanted

CHECK_S = 15.0
"""Seconds between two checks for a change."""

MAX_PAUSE_S = 300.0
_SETUP_TIMEOUT_S = 300.0
_LEAVE_S = 5.0
_COMMAND = (
    *(sys.executable, "-m", "imgclf_dagster.cli.main"),
    *("label-studio", "setup", "--json"),
)

Kind = Literal["done", "trouble"]


class Notify(Protocol):
    """Receives messages about the setup."""

    def __call__(self, kind: Kind, name: str, text: str, *, url: str = "") -> object: ...


_NO_LABELS = (
    "waits for labels: name them (names under [labels] in imgclf.toml, then start imgclf up "
    "again), or ingest some labelled images"
)


class BackgroundSetup(AbstractContextManager["BackgroundSetup"]):
    """Sets Label Studio up in a background thread while the block lasts.

    Args:
        settings: the user's settings.
        own: whether imgclf runs the server; its address is then published.
        after: names of programs that must be healthy first.
        notify: receives messages; called from another thread.
    """

    def __init__(
        self, settings: Settings, *, own: bool, after: Iterable[str], notify: Notify
    ) -> None:
        self._settings = settings
        self._own = own
        self._missing = set(after)
        self._notify = notify
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._stack = ExitStack()
        self._thread = threading.Thread(target=self._run, name="label-studio", daemon=True)
        self._sent: set[str] = set()

    def __enter__(self) -> Self:
        if self._own:
            self._stack.enter_context(published_address(self._settings))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._ready.set()
        self._thread.join(_LEAVE_S)
        self._stack.close()

    def watch_health(self, receive: Callable[[Notice], object]) -> Callable[[Notice], None]:
        """Wrap the receiver of the supervisor's notices, to learn when the programs are healthy."""

        def receive_and_watch(notice: Notice) -> None:
            receive(notice)
            if notice.kind == "healthy":
                self._missing.discard(notice.spec.name)
            if not self._missing:
                self._ready.set()

        return receive_and_watch

    def _run(self) -> None:
        """Wait until the programs are healthy, then set up and check for changes until stopped."""
        self._ready.wait()
        if self._stop.is_set():
            return
        from imgclf_dagster.label_studio.setup import wanted  # imports all of the graph

        done: Wanted | None = None
        now: Wanted | None = None
        pause = CHECK_S
        while not self._stop.is_set():
            try:
                now = wanted(self._settings, now)
                if not now.labels:
                    self._notify_once("trouble", _NO_LABELS)
                elif now != done:
                    done, pause = (now, CHECK_S) if self._set_up() else (None, 2 * pause)
            except Exception as error:  # noqa: BLE001 - the store may be unreachable for a while
                self._notify_once("trouble", f"cannot find out what to set up: {error}")
            self._stop.wait(min(pause, MAX_PAUSE_S))

    def _set_up(self) -> bool:
        """Run the setup in a process of its own and return whether it succeeded without problems."""
        log = self._settings.logs_dir / "label-studio-setup.log"
        with log.open("a", encoding="utf-8") as errors:
            process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        deadline = time.monotonic() + _SETUP_TIMEOUT_S
        try:
            while process.poll() is None:
                if self._stop.wait(0.2):
                    return False
                if time.monotonic() > deadline:
                    self._notify_once(
                        "trouble", f"setting up takes longer than {_SETUP_TIMEOUT_S:.0f} s"
                    )
                    return False
            output, _ = process.communicate()
        finally:
            if process.poll() is None:
                end_groups([process.pid], kill_after_s=2.0)
                process.communicate()
        return self._report(_parsed(output), log)

    def _report(self, result: dict[str, Any], log: Path) -> bool:
        """Send the result of a setup, its JSON; returns whether there were no problems."""
        problems = result.get("problems", [f"setting up failed (log: {log})"])
        if "link" in result:
            self._notify_once("done", f"labels {', '.join(result['labels'])}", result["link"])
        for problem in problems:
            self._notify_once("trouble", problem)
        if not problems:
            self._sent.clear()
        return not problems

    def _notify_once(self, kind: Kind, text: str, url: str = "") -> None:
        """Send a message, unless it was sent since the last setup without problems."""
        if text not in self._sent:
            self._sent.add(text)
            self._notify(kind, "Project", text, url=url)


def _parsed(output: str) -> dict[str, Any]:
    """Parse the output of a setup; empty if it is not JSON."""
    try:
        found: dict[str, Any] = json.loads(output)
    except json.JSONDecodeError:
        return {}
    return found
