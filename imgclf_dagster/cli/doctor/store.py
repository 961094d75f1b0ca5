"""``imgclf doctor --store``: compare every object in the store with its key."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.progress import Progress

from imgclf_dagster.cli.common import console, errors
from imgclf_dagster.console import escape
from imgclf_dagster.settings.root import Settings

if TYPE_CHECKING:
    from imgclf_dagster.store_doctor.examine import Trouble


def look_at_store(settings: Settings, *, as_json: bool, repair: bool) -> None:
    """Read every object, print the damaged ones with their remedies, and repair what can be.

    Args:
        settings: the user's settings.
        as_json: print JSON instead of lines.
        repair: rebuild damaged objects where that is possible, then read the store again.

    Raises:
        typer.Exit: with code 1, if an object is still damaged.
        StoreError: the store does not answer.
    """
    from imgclf_dagster.home.home import require_store
    from imgclf_dagster.profiles.chosen import build_line
    from imgclf_dagster.store_doctor.examine import examine_store
    from imgclf_dagster.store_doctor.home_files import examine_home
    from imgclf_dagster.store_doctor.repair import Bench, repair_all

    store = require_store(settings)
    with Progress(console=errors, transient=True) as progress:
        task = progress.add_task("reading the store", total=None)

        def show_progress(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        found = [*examine_store(store, show_progress), *examine_home(settings)]
        done: dict[str, str] = {}
        left = found
        if repair:
            done = repair_all(Bench(store, build_line(settings)), found)
            left = (
                [*examine_store(store, show_progress), *examine_home(settings)] if done else found
            )
    remaining = {trouble.key for trouble in left}
    if as_json:
        rows = [
            {**asdict(trouble), "repaired": done.get(trouble.key, "")}
            for trouble in {trouble.key: trouble for trouble in [*found, *left]}.values()
        ]
        print(json.dumps({"damaged": rows, "left": sorted(remaining)}, indent=1))
    else:
        for trouble in found:
            _show(trouble.key, trouble.flaw, trouble.remedy, done.get(trouble.key, ""))
        for trouble in left:
            if trouble not in found:
                _show(trouble.key, trouble.flaw, trouble.remedy, "")
        healthy = "every object is intact" if not found else ""
        console.print(f"[green]✓[/] {store.url}: {healthy}" if healthy else _sum(left, store.url))
    if remaining:
        raise typer.Exit(1)


def _show(key: str, flaw: str, remedy: str, repaired: str) -> None:
    mark = "[green]✓[/]" if repaired else "[red]✗[/]"
    console.print(f"{mark} [bold]{escape(key)}[/]  {escape(flaw)}")
    console.print(f"    → {escape(f'repaired: {repaired}' if repaired else remedy)}")


def _sum(left: "list[Trouble]", url: str) -> str:
    if not left:
        return f"[green]✓[/] {escape(url)}: all of it was repaired"
    return f"[red]✗[/] {escape(url)}: {len(left)} objects are damaged"
