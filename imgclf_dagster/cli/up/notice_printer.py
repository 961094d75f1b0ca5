"""Messages that ``imgclf up`` prints while it runs."""

import time
from collections.abc import Sequence
from typing import Literal

from rich.console import Console

from imgclf_dagster.console import escape
from imgclf_dagster.processes.supervisor import Notice, ProcessSpec


class NoticePrinter:
    """Prints the supervisor's notices, and a line when all programs are up for the first time."""

    def __init__(self, console: Console, specs: Sequence[ProcessSpec]) -> None:
        self._console = console
        self._width = max(len(spec.name) for spec in specs)
        self._url_width = max(len(spec.url or "") for spec in specs)
        self._missing = {spec.name for spec in specs}
        self._started = time.monotonic()

    def __call__(self, notice: Notice) -> None:
        """Print a notice about a program."""
        if notice.kind == "trouble":
            self.say("trouble", notice.spec.name, notice.text)
            return
        self.say("done", notice.spec.name, notice.spec.about, url=notice.spec.url or "")
        all_up_before = not self._missing
        self._missing.discard(notice.spec.name)
        if not self._missing and not all_up_before:
            seconds = time.monotonic() - self._started
            self._console.print(f"All up after {seconds:.0f} s. Ctrl-C stops everything.")

    def say(self, kind: Literal["done", "trouble"], name: str, text: str, *, url: str = "") -> None:
        """Print one line. Safe to call from any thread.

        Args:
            kind: "done" for what is available now, "trouble" for a problem.
            name: name of the program.
            text: the message.
            url: address to show for "done"; may be empty.
        """
        name = name.ljust(self._width)
        if kind == "trouble":
            line = f"[yellow]! {name}[/]  {escape(text)}"
        else:
            line = (
                f"[green]✓[/] {name}  [bold]{url.ljust(self._url_width)}[/]  [dim]{escape(text)}[/]"
            )
        self._console.print(line, soft_wrap=True)

    def tell(self, job: str, text: str) -> None:
        """Print what a job does. Safe to call from any thread.

        Args:
            job: its name.
            text: what it does.
        """
        self._console.print(f"[cyan]▸[/] {escape(job)}  [dim]{escape(text)}[/]", soft_wrap=True)
