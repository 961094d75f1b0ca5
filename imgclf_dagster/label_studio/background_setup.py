"""Sets Label Studio up while ``imgclf up`` runs, again when labels or the served model change.

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

from imgclf_dagster.label_studio.access import announced
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


class Say(Protocol):
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
        say: receives messages; called from another thread.
    """

    def __init__(self, settings: Settings, *, own: bool, after: Iterable[str], say: Say) -> None:
        self._settings = settings
        self._own = own
        self._missing = set(after)
        self._say = say
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._stack = ExitStack()
        self._thread = threading.Thread(target=self._keep, name="label-studio", daemon=True)
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        if self._own:
            self._stack.enter_context(announced(self._settings))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._ready.set()
        self._thread.join(_LEAVE_S)
        self._stack.close()

    def passing_on(self, say: Callable[[Notice], object]) -> Callable[[Notice], None]:
        """Wrap the receiver of notices ``say`` to learn when the programs are healthy."""

        def heard(notice: Notice) -> None:
            say(notice)
            if notice.kind == "healthy":
                self._missing.discard(notice.spec.name)
            if not self._missing:
                self._ready.set()

        return heard

    def _keep(self) -> None:
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
                    self._tell("trouble", _NO_LABELS)
                elif now != done:
                    done, pause = (now, CHECK_S) if self._set_up() else (None, 2 * pause)
            except Exception as error:  # noqa: BLE001 - the store may be unreachable for a while
                self._tell("trouble", f"cannot see what is to be set up: {error}")
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
                    self._tell("trouble", f"setting up takes longer than {_SETUP_TIMEOUT_S:.0f} s")
                    return False
            said, _ = process.communicate()
        finally:
            if process.poll() is None:
                end_groups([process.pid], kill_after_s=2.0)
                process.communicate()
        return self._report(_parsed(said), log)

    def _report(self, said: dict[str, Any], log: Path) -> bool:
        problems = said.get("problems", [f"setting up failed (log: {log})"])
        if "link" in said:
            self._tell("done", f"labels {', '.join(said['labels'])}", said["link"])
        for problem in problems:
            self._tell("trouble", problem)
        if not problems:
            self._told.clear()
        return not problems

    def _tell(self, kind: Kind, text: str, url: str = "") -> None:
        """Pass the message on, unless it was passed on since the last setup without problems."""
        if text not in self._told:
            self._told.add(text)
            self._say(kind, "Project", text, url=url)


def _parsed(said: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(said)
    except json.JSONDecodeError:
        return {}
    return found
